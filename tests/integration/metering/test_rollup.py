"""The roll-up says what the events say, in whatever order they come and however many roll up."""

from __future__ import annotations

import operator
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, delete, select, text, update
from sqlalchemy import event as engine_event
from sqlalchemy.exc import OperationalError

from kat.usage_event import Mode, ModeSource, Segment, UsageEvent, new_event_id
from kat_metering.ingest import store
from kat_metering.intake import Bounds, read_delivery
from kat_metering.rollup import RollUpState, read_state, rebuild, roll_up
from kat_metering.store.tables import NO_API_KEY, rollup_state, usage_daily, usage_event, usage_hourly
from tests.fakes.stored_events import insert_event
from tests.fakes.usage_events import a_delivery, an_event

CatchUp = Callable[[], RollUpState]
KEY = ("hour", "tenant", "project", "api_key_id", "model", "mode", "mode_source", "status", "task", "prompt_bucket")
SUMS = ("requests", *Segment, "engine_seconds")
NOW = datetime.now(UTC)


def store_events(engine: Engine, *events: dict[str, Any]) -> int:
    bounds = Bounds(max_age=timedelta(days=400), max_ahead=timedelta(days=1))
    return store(engine, read_delivery(a_delivery(*events), now=NOW, bounds=bounds)).new


def rolled_up(engine: Engine) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The hours; the days have been compared with them."""
    with engine.connect() as connection:
        rows = connection.execute(select(usage_hourly)).mappings().all()
        days = connection.execute(select(usage_daily)).mappings().all()
    hourly = {tuple(row[name] for name in KEY): tuple(row[name] for name in SUMS) for row in rows}
    daily: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for (hour, *rest), sums in hourly.items():
        key = (hour.replace(hour=0), *rest)
        daily[key] = tuple(map(operator.add, daily[key], sums)) if key in daily else sums
    names = ("day", *KEY[1:])
    assert {tuple(row[name] for name in names): tuple(row[name] for name in SUMS) for row in days} == daily
    return hourly


def bucket(prompt: int) -> str:
    bounds = [(256, "0-255"), (1024, "256-1023"), (4096, "1024-4095")]
    return next((name for bound, name in bounds if prompt < bound), "4096+")


def expected(events: list[dict[str, Any]]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The roll-up, computed in the plainest way."""
    groups: dict[tuple[Any, ...], list[UsageEvent]] = defaultdict(list)
    for event in (UsageEvent.model_validate(each) for each in events):
        usage = event.data
        hour = event.time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        groups[
            hour, usage.tenant, usage.project, usage.api_key_id or NO_API_KEY, usage.model, usage.mode,
            usage.mode_source, usage.status, usage.labels.get("task", ""), bucket(usage.tokens.prompt_total),
        ].append(event)  # fmt: skip
    return {
        key: (
            len(group),
            *(sum(getattr(event.data.tokens, segment) for event in group) for segment in Segment),
            sum((Decimal(repr(event.data.engine_seconds)) for event in group), Decimal(0)),
        )
        for key, group in groups.items()
    }


def various_events(seed: int, count: int) -> list[dict[str, Any]]:
    """Events of the last three days that differ in everything the roll-up is keyed by."""
    chance = random.Random(seed)
    keys = [None, str(UUID(int=7)), str(UUID(int=8))]
    return [
        an_event(
            at=NOW - timedelta(seconds=chance.uniform(0, 3 * 86_400)),
            tenant=chance.choice(["acme", "globex", "a,b", "红"]),
            project=chance.choice(["default", "search"]),
            api_key_id=chance.choice(keys),
            model=chance.choice(["KAT-V1-40B", "smollm2-135m"]),
            mode=chance.choice(list(Mode)),
            mode_source=chance.choice(list(ModeSource)),
            status=chance.choice(["ok", "length", "aborted", "error"]),
            tokens={
                "prompt": chance.choice([0, 255, 256, 1_000, 4_095, 4_096, 100_000]),
                "prompt_cached": chance.choice([0, 0, 1, 24]),
                "judge": chance.randrange(60),
                "think": chance.randrange(9_000),
                "answer": chance.randrange(900),
                "control": chance.randrange(13),
            },
            labels={"task": chance.choice(["humaneval", "aime2024"])} if chance.random() < 0.7 else {},
            engine_seconds=round(chance.uniform(0, 30), 6),
        )
        for _ in range(count)
    ]


def test_the_rollup_equals_the_events_row_by_row(engine: Engine, catch_up: CatchUp) -> None:
    events = various_events(seed=1, count=3_000)
    for start in range(0, len(events), 500):
        store_events(engine, *events[start : start + 500])
        roll_up(engine)
    catch_up()
    assert rolled_up(engine) == expected(events)


def test_late_events_join_hours_that_were_rolled_up_before(engine: Engine, catch_up: CatchUp) -> None:
    early, late = an_event(at=NOW - timedelta(days=40)), an_event(at=NOW - timedelta(days=40))
    store_events(engine, early)
    catch_up()
    store_events(engine, late)
    catch_up()
    assert rolled_up(engine) == expected([early, late])


def test_duplicated_and_reordered_deliveries_change_nothing(engine: Engine, catch_up: CatchUp) -> None:
    events = various_events(seed=5, count=600)
    chance = random.Random(5)
    deliveries = [events[start : start + 40] for start in range(0, 600, 20)] * 2
    chance.shuffle(deliveries)
    new = 0
    for delivery in deliveries:
        chance.shuffle(delivery)
        new += store_events(engine, *delivery, delivery[0])
        roll_up(engine)
    catch_up()
    assert new == len(events)
    assert rolled_up(engine) == expected(events)


@pytest.mark.parametrize("skew", [timedelta(hours=23), timedelta(days=-399)], ids=["a day ahead", "a year behind"])
def test_a_clock_that_is_wrong_within_bounds_only_moves_its_own_events(
    engine: Engine, catch_up: CatchUp, skew: timedelta
) -> None:
    events = [an_event(at=NOW), an_event(at=NOW + skew), an_event(at=NOW)]
    store_events(engine, *events)
    catch_up()
    assert rolled_up(engine) == expected(events)
    later = an_event(at=NOW)
    store_events(engine, later)
    catch_up()
    assert rolled_up(engine) == expected([*events, later])


def test_a_pass_that_is_cut_off_is_made_up_for_by_the_next(engine: Engine, catch_up: CatchUp) -> None:
    first, second = various_events(seed=6, count=100), various_events(seed=7, count=100)
    store_events(engine, *first)
    catch_up()
    store_events(engine, *second)

    def die(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if "UPDATE rollup_state" in statement:
            # As where the service is killed: Postgres notices, and nothing of the pass was done.
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    engine_event.listen(engine, "before_cursor_execute", die)
    with pytest.raises(OperationalError):
        roll_up(engine)
    engine_event.remove(engine, "before_cursor_execute", die)
    assert rolled_up(engine) == expected(first)
    catch_up()
    assert rolled_up(engine) == expected([*first, *second])


def test_a_rebuild_during_ingest_counts_everything_once(engine: Engine, catch_up: CatchUp) -> None:
    """What is stored while the rebuild looks is neither left out nor added twice."""
    before, meanwhile, after = (an_event(at=NOW) for _ in range(3))
    store_events(engine, before)
    with engine.begin() as connection:
        insert_event(connection, meanwhile)
        store_events(engine, after)
        rebuild(engine)
    catch_up()
    assert rolled_up(engine) == expected([before, meanwhile, after])


def test_an_event_whose_transaction_commits_late_is_not_passed_over(engine: Engine, catch_up: CatchUp) -> None:
    slow, fast = an_event(at=NOW - timedelta(hours=30)), an_event(at=NOW - timedelta(hours=10))
    with engine.begin() as connection:
        insert_event(connection, slow)
        store_events(engine, fast)
        meanwhile = roll_up(engine)
    with engine.connect() as connection:
        stored = connection.execute(select(usage_event.c.stored_at).where(usage_event.c.id == UUID(fast["id"])))
        assert meanwhile.as_of <= stored.scalar_one()
    catch_up()
    assert rolled_up(engine) == expected([slow, fast])


def test_as_of_is_not_reached_while_an_acknowledged_event_is_missing(engine: Engine, catch_up: CatchUp) -> None:
    catch_up()
    with engine.begin() as connection:
        insert_event(connection, an_event())
        store_events(engine, an_event())
        acknowledged_at = datetime.now(UTC)
        assert roll_up(engine).as_of < acknowledged_at
    assert catch_up().as_of >= acknowledged_at


def test_two_services_rolling_up_during_ingest_count_everything_once(engine: Engine, catch_up: CatchUp) -> None:
    events = various_events(seed=2, count=1_200)
    errors: list[Exception] = []
    done = threading.Event()

    def keep_rolling_up() -> None:
        try:
            while not done.is_set():
                roll_up(engine)
        except Exception as error:  # noqa: BLE001 - a thread's error must reach the test
            errors.append(error)

    def send(part: list[dict[str, Any]]) -> None:
        try:
            for start in range(0, len(part), 25):
                store_events(engine, *part[start : start + 25])
        except Exception as error:  # noqa: BLE001 - a thread's error must reach the test
            errors.append(error)

    rollers = [threading.Thread(target=keep_rolling_up) for _ in range(2)]
    senders = [threading.Thread(target=send, args=(events[i::3],)) for i in range(3)]
    for thread in (*rollers, *senders):
        thread.start()
    for thread in senders:
        thread.join()
    done.set()
    for thread in rollers:
        thread.join()
    assert errors == []
    catch_up()
    assert rolled_up(engine) == expected(events)


def test_while_another_service_rolls_up_a_pass_only_looks(engine: Engine, catch_up: CatchUp) -> None:
    before = catch_up()
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": 0x6B61_7403})
        store_events(engine, an_event())
        assert roll_up(engine).revision == before.revision
    assert rolled_up(engine) == {}


def test_rebuilding_repairs_whatever_happened_to_the_rollup(engine: Engine, catch_up: CatchUp) -> None:
    events = various_events(seed=3, count=400)
    store_events(engine, *events)
    before = catch_up()
    with engine.begin() as connection:
        connection.execute(update(usage_hourly).values(think=usage_hourly.c.think + 1))
        connection.execute(delete(usage_hourly).where(usage_hourly.c.tenant == "acme"))
        connection.execute(update(usage_daily).values(answer=0))
    assert rebuild(engine).revision > before.revision
    assert rolled_up(engine) == expected(events)


def test_a_restored_dump_is_noticed_and_rolled_up_again(engine: Engine, catch_up: CatchUp) -> None:
    # In another server transactions are numbered anew: the watermark of the dump lies in its far future.
    events = [an_event(at=NOW - timedelta(hours=n)) for n in range(4)]
    store_events(engine, *events)
    with engine.begin() as connection:
        connection.execute(update(rollup_state).values(next_xid=text("'1000000000000'::xid8")))
        connection.execute(update(usage_event).values(stored_xid=text("'999999999999'::xid8")))
    roll_up(engine)
    assert rolled_up(engine) == expected(events)
    later = an_event()
    store_events(engine, later)
    catch_up()
    assert rolled_up(engine) == expected([*events, later])


def test_a_pass_without_news_changes_nothing(engine: Engine, catch_up: CatchUp) -> None:
    store_events(engine, an_event())
    before = catch_up()
    assert catch_up().revision == before.revision
    with engine.connect() as connection:
        assert read_state(connection).revision == before.revision


@pytest.mark.parametrize("letter", ["\N{CJK UNIFIED IDEOGRAPH-20000}", "x"])
def test_names_of_the_greatest_length_are_rolled_up(engine: Engine, catch_up: CatchUp, letter: str) -> None:
    # More bytes than an index of Postgres takes in one entry, and hard to compress.
    chance = random.Random(4)
    names = ["".join(chr(ord(letter) + chance.randrange(100)) for _ in range(200)) for _ in range(3)]
    event = an_event(
        tenant=names[0],
        project=names[1],
        model=names[2],
        api_key_id=str(new_event_id()),
        labels={"task": names[0][:80]},
    )
    assert store_events(engine, event) == 1
    catch_up()
    assert rolled_up(engine) == expected([event])
