"""The age of what waits to be delivered."""

from __future__ import annotations

import pytest

from kat_predictor.outbox import Outbox
from tests.fakes.clock import Clock
from tests.fakes.outbox import acknowledge_oldest, put


async def test_the_age_is_that_of_the_oldest_event(outbox: Outbox, clock: Clock) -> None:
    await put(outbox)
    clock.advance(40)
    await put(outbox)
    clock.advance(2)
    assert outbox.oldest_age_seconds() == pytest.approx(42)


async def test_the_age_is_that_of_the_oldest_event_which_is_left(outbox: Outbox, clock: Clock) -> None:
    await put(outbox)
    clock.advance(40)
    await put(outbox)
    await acknowledge_oldest(outbox, 1)
    clock.advance(2)
    assert outbox.oldest_age_seconds() == pytest.approx(2)


async def test_an_empty_outbox_has_no_age(outbox: Outbox, clock: Clock) -> None:
    await put(outbox)
    await acknowledge_oldest(outbox, 1)
    clock.advance(40)
    assert outbox.oldest_age_seconds() == 0
