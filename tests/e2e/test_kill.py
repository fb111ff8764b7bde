"""kill -9 of predictor, metering or Postgres loses no event of a completed response and counts none twice."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from kat.home import kat_home
from kat.platform import Options, Platform


@pytest.fixture
def own_platform(own_home: Path, platform_env: dict[str, str]) -> Iterator[Platform]:
    """A platform of the test's own, since it will be hurt."""
    running = Platform(Options(predictor_port=0, metering_port=0, env=platform_env))
    try:
        running.start()
        yield running
    finally:
        running.stop()


def complete(platform: Platform) -> str:
    """Send a request; the id of its event."""
    answer = httpx.post(
        f"{platform.predictor_url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {platform.api_key.get_secret_value()}"},
        json={
            "model": "smollm2-135m",
            "messages": [{"role": "user", "content": "Name a colour."}],
            "max_tokens": 8,
            "reasoning_effort": "none",
        },
        timeout=120,
    ).raise_for_status()
    event_id: str = answer.json()["id"].removeprefix("chatcmpl-")
    return event_id


def ids_in_postgres(platform: Platform) -> list[str]:
    month = time.strftime("%Y-%m", time.gmtime())
    headers = {"Authorization": f"Bearer {platform.api_key.get_secret_value()}"}
    params = {"month": month, "format": "jsonl"}
    try:
        export = httpx.get(f"{platform.metering_url}/v1/exports/usage", headers=headers, params=params, timeout=30)
    except httpx.TransportError:
        return []
    return [json.loads(line)["id"] for line in export.text.splitlines()] if export.is_success else []


def assert_kept_once(platform: Platform, told: list[str]) -> None:
    deadline = time.monotonic() + 60
    while set(told) - set(kept := ids_in_postgres(platform)):
        assert time.monotonic() < deadline, f"{len(set(told) - set(kept))} of {len(told)} events are lost"
        time.sleep(0.2)
    assert sorted(kept) == sorted(told)


def kill_postgres() -> None:
    [pid_file] = (kat_home() / "postgres").rglob("postmaster.pid")
    os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)


def test_metering_killed(own_platform: Platform) -> None:
    told = [complete(own_platform)]
    own_platform.metering.kill()
    told += [complete(own_platform), complete(own_platform)]
    own_platform.metering.start()
    assert_kept_once(own_platform, told)


def test_predictor_killed_while_metering_is_away(own_platform: Platform) -> None:
    """The events wait on disk, and the next predictor delivers them."""
    own_platform.metering.kill()
    told = [complete(own_platform), complete(own_platform)]
    own_platform.predictor.kill()
    own_platform.metering.start()
    own_platform.predictor.start()
    own_platform.predictor.wait_ready(timeout=120)
    assert_kept_once(own_platform, told)


def test_postgres_killed(own_platform: Platform) -> None:
    """Metering starts its embedded server again by itself."""
    told = [complete(own_platform)]
    kill_postgres()
    told += [complete(own_platform), complete(own_platform)]
    assert_kept_once(own_platform, told)
