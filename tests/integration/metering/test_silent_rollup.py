"""Work without a time limit is waited for while the server is at it, and not where it says nothing any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from kat_metering.rollup import RollUpState, rebuild, roll_up
from kat_metering.store.bounded_connection import BoundedConnection
from kat_metering.store.engine import make_engine, without_time_limit
from tests.fakes.slow_proxy import SlowProxy

PATIENT_SECONDS = 60
DOUBT_SECONDS = 0.2
ADDING = "INSERT INTO usage_hourly"
passes = pytest.mark.parametrize("work", [roll_up, rebuild])
Work = Callable[[Engine], RollUpState]


@pytest.fixture
async def proxy(server: URL) -> AsyncIterator[SlowProxy]:
    async with SlowProxy(server) as proxy:
        yield proxy


@pytest.fixture
async def through(proxy: SlowProxy, engine: Engine) -> AsyncIterator[Engine]:
    """Connections by way of the proxy, which doubt soon where events are added to the roll-up, and nowhere else."""
    engine = make_engine(proxy.url(engine.url.database), connections=3, timeout_seconds=PATIENT_SECONDS)
    event.listen(engine, "before_cursor_execute", lambda lent, _, sql, *__: doubt_soon(lent) if ADDING in sql else None)
    yield engine
    engine.dispose()


def doubt_soon(lent: Connection) -> None:
    bounded = lent.connection.driver_connection
    assert isinstance(bounded, BoundedConnection)
    bounded.answer_seconds = DOUBT_SECONDS


async def ends(work: Callable[[Engine], Any], engine: Engine) -> None:
    """It ends with an error, and in time."""
    with pytest.raises(OperationalError):
        async with asyncio.timeout(PATIENT_SECONDS):
            await asyncio.to_thread(work, engine)


async def test_a_pass_ends_where_the_server_falls_silent(proxy: SlowProxy, through: Engine) -> None:
    proxy.silent_at = ADDING.encode()
    await ends(roll_up, through)
    assert proxy.silent


@passes
async def test_a_pass_ends_where_its_answer_was_lost_on_a_connection_that_stays(
    proxy: SlowProxy, through: Engine, work: Work
) -> None:
    proxy.swallow_answer_to = ADDING.encode()
    await ends(work, through)
    assert proxy.swallow_answer_to is None


async def test_the_next_pass_takes_the_lock_that_the_silent_one_had(
    proxy: SlowProxy, through: Engine, catch_up: Callable[[], RollUpState]
) -> None:
    proxy.swallow_answer_to = ADDING.encode()
    await ends(roll_up, through)
    await asyncio.to_thread(catch_up)


def test_what_the_server_works_on_is_waited_for_beyond_every_bound(engine: Engine) -> None:
    with engine.begin() as connection:
        without_time_limit(connection)
        doubt_soon(connection)
        slept = connection.execute(text("SELECT 'well' FROM pg_sleep(:seconds)"), {"seconds": 4 * DOUBT_SECONDS})
        assert slept.scalar_one() == "well"


def test_what_has_a_time_limit_is_not_waited_for(engine: Engine) -> None:
    with engine.connect() as connection:
        doubt_soon(connection)
        with pytest.raises(OperationalError, match="timeout expired"):
            connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": PATIENT_SECONDS})


def test_a_connection_is_bounded_again_once_it_is_given_back(engine: Engine) -> None:
    with engine.begin() as connection:
        without_time_limit(connection)
        lent = connection.connection.driver_connection
    assert isinstance(lent, BoundedConnection)
    assert (lent.at_work, lent.answer_seconds is not None) == (None, True)
