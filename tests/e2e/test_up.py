"""`kat up` as a newcomer runs it: in an empty home, until Ctrl-C, leaving nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

KAT = Path(sys.executable).with_name("kat")


@pytest.fixture
def environment(own_home: Path, platform_env: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **platform_env, "KAT_HOME": str(own_home), "NO_COLOR": "1"}


def test_check_answers_every_prompt_and_exits_zero(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [KAT, "up", "--check", "--predictor-port", "0", "--metering-port", "0"],
        env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All parts work." in done.stdout
    assert "unpriced" not in done.stdout


def test_check_says_why_it_failed_and_exits_non_zero(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [KAT, "up", "--check", "--model", "/no/such/model", "--predictor-port", "0", "--metering-port", "0"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "/no/such/model" in done.stderr


def test_ctrl_c_stops_every_process(environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    with log.open("w") as out:
        up = subprocess.Popen(
            [KAT, "up", "--predictor-port", "0", "--metering-port", "0"],
            env=environment, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    deadline = time.monotonic() + 280
    while "Ctrl-C stops everything" not in log.read_text():
        assert up.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    url = re.search(r"OpenAI API +(\S+)/v1", log.read_text())
    assert url
    assert httpx.get(f"{url[1]}/v2/health/ready").status_code == 200
    up.send_signal(signal.SIGINT)
    assert up.wait(90) == 0, log.read_text()
    assert using(Path(environment["KAT_HOME"])) == []


def using(home: Path) -> list[str]:
    """Command lines of processes whose environment or arguments name the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it ended, or is not ours
        if str(home).encode() in text and process.name != str(os.getpid()):
            found.append((process / "cmdline").read_text())
    return found
