"""All of HumanEval through the platform while metering is killed: nothing is lost, nothing counted twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "humaneval.py"


@pytest.mark.timeout(900)
def test_164_prompts_are_164_events_although_metering_was_killed(platform_env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, BENCH, "--kill-metering", "--json"],
        env={**os.environ, **platform_env}, capture_output=True, text=True, timeout=880, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["requests"], result["events"], result["unpriced"]) == (164, 164, 0)
    assert result["tokens_in_postgres"] == result["tokens"]
