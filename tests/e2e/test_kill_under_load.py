"""kill -9 of Postgres, metering and predictor under load: the books match what clients saw completed, exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import BigInteger, cast, select

from kat.usage_event import Segment
from kat_metering.store.tables import usage_event
from tests.fakes.metering import ADMIN, SERVICE_TOKEN
from tests.fakes.metering_process import MeteringProcess, metering_process

LOAD_SECONDS = float(os.environ.get("KAT_TEST_LOAD_SECONDS", "60"))
EVENTS_PER_SECOND = 2_000
PATIENCE_SECONDS = 150

Books = dict[str, int]
"""Tokens by the id of the event."""


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} s in vain"
        time.sleep(0.05)


def ledger(path: Path) -> Books:
    return {event_id: int(tokens) for event_id, tokens in map(str.split, path.read_text().splitlines())}


def completed(folder: Path) -> int:
    path = folder / "completed"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def stored(service: MeteringProcess) -> Books:
    tokens = sum((usage_event.c[segment] for segment in Segment), start=cast(0, BigInteger))
    with service.engine.connect() as connection:
        return {str(event_id): int(count) for event_id, count in connection.execute(select(usage_event.c.id, tokens))}


def reported(service: MeteringProcess) -> tuple[int, int]:
    """Requests and tokens, from the roll-up by way of the usage report."""
    answer = httpx.get(f"{service.url}/v1/usage", headers=ADMIN, timeout=60)
    if not answer.is_success:
        return 0, 0
    totals = answer.json()["totals"]
    return totals["requests"], sum(totals["tokens"].values())


@pytest.fixture
def service() -> Iterator[MeteringProcess]:
    with metering_process() as service:
        yield service


@contextmanager
def load(folder: Path, service: MeteringProcess) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.fakes.load_predictor"]
    arguments = [str(folder), service.url, SERVICE_TOKEN, str(EVENTS_PER_SECOND)]
    with (folder / "predictor.log").open("ab") as log:
        process = subprocess.Popen([*command, *arguments], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_books_are_exact_after_postgres_metering_and_predictor_were_killed_under_load(
    service: MeteringProcess, tmp_path: Path
) -> None:
    def a_quarter_more() -> None:
        enough = completed(tmp_path) + int(LOAD_SECONDS * EVENTS_PER_SECOND / 4)
        until(lambda: completed(tmp_path) >= enough)

    with load(tmp_path, service) as predictor:
        a_quarter_more()
        os.kill(service.postmaster(), signal.SIGKILL)
        a_quarter_more()
        service.part.kill()
        service.start()
        a_quarter_more()
        predictor.kill()
        predictor.wait()
    in_flight = ledger(tmp_path / "started").keys() - ledger(tmp_path / "completed").keys()
    with load(tmp_path, service) as predictor:
        a_quarter_more()
        predictor.terminate()
        assert predictor.wait(PATIENCE_SECONDS) == 0, (tmp_path / "predictor.log").read_text()[-2_000:]

    told, started, kept = ledger(tmp_path / "completed"), ledger(tmp_path / "started"), stored(service)
    # What was in flight when the predictor died may have reached the disk before its client could be told.
    assert kept.keys() - told.keys() <= in_flight
    assert kept == {event_id: started[event_id] for event_id in kept}
    assert sum(tokens for event_id, tokens in kept.items() if event_id in told) == sum(told.values())
    assert told.keys() <= kept.keys()
    until(lambda: reported(service) == (len(kept), sum(kept.values())))
