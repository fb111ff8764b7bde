"""Every command of the README's tour works as printed."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from kat.platform import Platform

ROOT = Path(__file__).parents[2]
TOUR = re.search(r"<!-- tour -->(.*)<!-- end of tour -->", (ROOT / "README.md").read_text(), re.DOTALL)
assert TOUR, "README.md marks its tour with two comments"
BLOCKS = re.findall(r"```bash\n(.*?)```", TOUR[1], re.DOTALL)
SET_UP, STEPS = BLOCKS[0], BLOCKS[1:]


@pytest.mark.parametrize("step", STEPS, ids=[re.sub(r"\W+", "-", block[:60]).strip("-") for block in STEPS])
def test_a_step_of_the_tour_prints_something_and_succeeds(platform: Platform, step: str) -> None:
    assert platform.dead_parts() == []
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", SET_UP + step],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 141), done.stdout + done.stderr  # 141: `head` closed the pipe
    assert done.stdout.strip()
    assert '"error"' not in done.stdout
