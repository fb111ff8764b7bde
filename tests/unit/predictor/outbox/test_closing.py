"""Closing stores what is left, and says what could not be."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog.testing

from kat_predictor.errors import EventNotStored
from kat_predictor.outbox import Outbox
from tests.fakes.journal import FaultyJournal
from tests.fakes.outbox import found_after_death, put, waits_for_the_disk
from tests.fakes.tenants import a_usage_event


async def test_an_event_that_could_not_be_written_before_the_end_is_in_the_log(
    outbox: Outbox, journal: FaultyJournal
) -> None:
    event = a_usage_event()
    journal.full, reservation = True, outbox.reserve()
    with structlog.testing.capture_logs() as logs:
        stored = reservation.put(event)
        await outbox.close()
    with pytest.raises(EventNotStored):
        await stored
    (logged,) = [log["event_json"] for log in logs if log["event"] == "usage_event_not_stored"]
    assert logged == event.model_dump_json()


async def test_closing_tries_once_more_to_write_what_is_left(
    outbox: Outbox, journal: FaultyJournal, path: Path
) -> None:
    event = a_usage_event()
    journal.full, reservation = True, outbox.reserve()
    stored = reservation.put(event)
    journal.full = False
    await outbox.close()
    await stored
    assert found_after_death(path) == [event]


@waits_for_the_disk
async def test_closing_brings_what_is_left_to_the_disk(outbox: Outbox, journal: FaultyJournal) -> None:
    stored = outbox.reserve().put(a_usage_event())
    await outbox.close()
    await stored
    assert (journal.syncs, journal.unsynced()) == (1, None)


@waits_for_the_disk
async def test_closing_while_the_disk_confirms_nothing_says_so(outbox: Outbox, journal: FaultyJournal) -> None:
    journal.broken = True
    stored = outbox.reserve().put(a_usage_event())
    await outbox.close()
    with pytest.raises(EventNotStored, match="did not confirm"):
        await stored


async def test_closing_twice_is_closing_once(outbox: Outbox) -> None:
    await put(outbox)
    await outbox.close()
    await outbox.close()


async def test_a_closed_outbox_takes_no_event(path: Path) -> None:
    outbox = await Outbox.open(path, max_events=3)
    reservation = outbox.reserve()
    await outbox.close()
    with pytest.raises(EventNotStored):
        await reservation.put(a_usage_event())
