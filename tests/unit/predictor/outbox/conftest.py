"""An outbox of three places on a journal whose disk does what a test says."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from kat_predictor.outbox import Outbox, Sync
from tests.fakes.clock import Clock
from tests.fakes.journal import FaultyJournal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(path: Path) -> FaultyJournal:
    return FaultyJournal(path)


@pytest.fixture
def sync() -> Sync:
    return "group"


@pytest.fixture
async def outbox(journal: FaultyJournal, clock: Clock, sync: Sync) -> AsyncGenerator[Outbox]:
    outbox = Outbox(journal.opened(), max_events=3, sync=sync, clock=clock.time, retry_seconds=0.001)
    yield outbox
    journal.disk.set()
    await outbox.close()
