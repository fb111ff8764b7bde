"""Usage is the same whether it comes from whole days or from hours."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from kat.usage_event import Segment, UsageEvent
from kat_metering.ingest import store
from kat_metering.intake import Bounds, read_delivery
from kat_metering.periods import Window
from kat_metering.savings_report import Dimension
from kat_metering.usage import UsageQuery, hourly_usage
from tests.fakes.usage_events import a_delivery, an_event

DAYS = 5
FIRST = (datetime.now(UTC) - timedelta(days=40)).replace(hour=0, minute=0, second=0, microsecond=0)


def at(hours: float) -> datetime:
    return FIRST + timedelta(hours=hours)


@pytest.fixture
def events(engine: Engine, catch_up: Callable[[], object]) -> list[UsageEvent]:
    """Events of five days, some on the very edges of days."""
    chance = random.Random(8)
    hours = [chance.uniform(0, 24 * DAYS) for _ in range(400)] + [24.0 * day for day in range(DAYS)]
    made: list[dict[str, Any]] = [
        an_event(
            at=at(hour),
            tenant=chance.choice(["acme", "globex"]),
            mode=chance.choice(["on", "off"]),
            tokens={"prompt": 100, "think": chance.randrange(1_000)},
        )
        for hour in hours
    ]
    bounds = Bounds(max_age=timedelta(days=400), max_ahead=timedelta(days=1))
    store(engine, read_delivery(a_delivery(*made), now=datetime.now(UTC), bounds=bounds))
    catch_up()
    return [UsageEvent.model_validate(event) for event in made]


@pytest.mark.parametrize(
    ("start", "end", "prices_change", "tenant"),
    [
        (0, 24 * DAYS, (), None),
        (0, 24 * DAYS, (24, 30, 31, 48), "acme"),
        (5, 24 * DAYS - 7, (), "acme"),
        (5, 24 * DAYS - 7, (-100, 6, 47, 72, 75, 500), None),
        (5, 7, (6,), None),
        (5, 24, (12,), None),
        (24, 48, (24,), "globex"),
        (23, 25, (), None),
        (23, 49, (30,), None),
        (24 * DAYS, 24 * DAYS + 50, (), None),
    ],
)
def test_a_window_holds_the_events_of_its_hours_parted_where_prices_change(
    engine: Engine,
    events: list[UsageEvent],
    start: float,
    end: float,
    prices_change: tuple[float, ...],
    tenant: str | None,
) -> None:
    boundaries = [at(hour) for hour in prices_change]
    wanted: Counter[tuple[object, ...]] = Counter()
    for event in events:
        if at(start) <= event.time < at(end) and tenant in {None, event.data.tenant}:
            key = (event.data.tenant, event.time.date(), event.data.mode, bisect_right(boundaries, event.time))
            wanted[*key, "requests"] += 1
            wanted[*key, "think"] += event.data.tokens.think
    found: Counter[tuple[object, ...]] = Counter()
    query = UsageQuery(Window(at(start), at(end)), tenant, (Dimension.TENANT, Dimension.DAY))
    with engine.connect() as connection:
        for group, requests in hourly_usage(connection, query, boundaries):
            line = requests.usage
            place = (group.tenant, group.day, line.mode, bisect_right(boundaries, line.hour))
            found[*place, "requests"] += requests.count
            found[*place, "think"] += line.tokens[Segment.THINK]
    assert found == wanted
