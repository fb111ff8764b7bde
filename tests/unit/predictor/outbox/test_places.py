"""Full means refused, never dropped."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from kat_predictor.errors import OutboxFull
from kat_predictor.outbox import Outbox
from kat_predictor.outbox_folder import open_journal
from kat_predictor.outbox_record import Record
from tests.fakes.outbox import acknowledge_oldest, put
from tests.fakes.tenants import a_usage_event


async def test_a_full_outbox_refuses(outbox: Outbox) -> None:
    await put(outbox, count=3)
    with pytest.raises(OutboxFull):
        outbox.reserve()


async def test_a_reserved_place_counts_as_taken(outbox: Outbox) -> None:
    for _ in range(3):
        outbox.reserve()
    with pytest.raises(OutboxFull):
        outbox.reserve()


async def test_a_released_place_is_free_again(outbox: Outbox) -> None:
    reservations = [outbox.reserve() for _ in range(3)]
    reservations[0].release()
    reservations[0].release()
    outbox.reserve()
    with pytest.raises(OutboxFull):
        outbox.reserve()


async def test_releasing_after_put_frees_nothing(outbox: Outbox) -> None:
    reservations = [outbox.reserve() for _ in range(3)]
    await reservations[0].put(a_usage_event())
    reservations[0].release()
    with pytest.raises(OutboxFull):
        outbox.reserve()


async def test_a_place_takes_one_event(outbox: Outbox) -> None:
    reservation = outbox.reserve()
    await reservation.put(a_usage_event())
    with pytest.raises(RuntimeError, match="takes one event"):
        reservation.put(a_usage_event())


async def test_acknowledging_makes_room(outbox: Outbox) -> None:
    await put(outbox, count=3)
    await acknowledge_oldest(outbox, 3)
    outbox.reserve()


async def test_events_of_an_earlier_run_take_their_places(path: Path) -> None:
    with closing(open_journal(path).journal) as journal:
        journal.append([Record(0.0, b"{}")] * 3)
    outbox = await Outbox.open(path, max_events=3)
    with pytest.raises(OutboxFull):
        outbox.reserve()
    await outbox.close()
