"""What tests do with an outbox, and what another process would find of it."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from kat.usage_event import UsageEvent
from kat_predictor.outbox import Outbox
from kat_predictor.outbox_folder import open_journal
from tests.fakes.tenants import a_usage_event

waits_for_the_disk = pytest.mark.parametrize("sync", ["commit"])


def found_after_death(path: Path) -> list[UsageEvent]:
    """The events that a next process would find if this one ended now, without a word."""
    copy = path.with_name(f"copy-of-{path.name}")
    shutil.copytree(path, copy)
    with closing(open_journal(copy).journal) as journal:
        segment = journal.oldest()
        bodies = () if segment is None else journal.read(segment, 1_000).bodies
    return [UsageEvent.model_validate_json(body) for body in bodies]


async def put(outbox: Outbox, *, count: int = 1) -> list[UsageEvent]:
    events = [a_usage_event() for _ in range(count)]
    for event in events:
        await outbox.reserve().put(event)
    return events


async def acknowledge_oldest(outbox: Outbox, limit: int) -> None:
    batch = await outbox.oldest(limit)
    assert batch is not None
    await outbox.acknowledge(batch)
