"""Old months leave the database for Parquet files, and nothing of them is lost, changed or counted again."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, delete, select, text, update

from kat_metering import cli, retention
from kat_metering.errors import RetentionError
from kat_metering.event_archive import Totals, archive_totals
from kat_metering.ingest import Receipt, store
from kat_metering.intake import Bounds, read_delivery
from kat_metering.retention import OldMonth, archive, old_months
from kat_metering.rollup import rebuild
from kat_metering.store.partitions import ensure_partitions, month_after, month_of, partition_name
from kat_metering.store.tables import dead_letter, usage_archive, usage_daily, usage_event, usage_hourly
from tests.fakes.metering import SERVICE
from tests.fakes.usage_events import a_delivery, an_event

NOW = datetime.now(UTC)
KEEP = 2
OLD = month_after(month_of(NOW), -KEEP - 1)
"""The youngest month that is to leave."""
CatchUp = Callable[[], object]


def an_old_event(hours: float = 1, **data: Any) -> dict[str, Any]:
    return an_event(at=OLD + timedelta(hours=hours), **data)


def deliver(engine: Engine, *events: object) -> Receipt:
    bounds = Bounds(max_age=timedelta(days=400), max_ahead=timedelta(days=1))
    return store(engine, read_delivery(a_delivery(*events), now=NOW, bounds=bounds))


def old_month(engine: Engine) -> OldMonth:
    (found,) = [old for old in old_months(engine, keep_months=KEEP, now=NOW) if old.month == OLD]
    return found


def tables_in(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars())


def days_in(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(usage_daily).order_by(usage_daily.c.day, usage_daily.c.key_sha256)))


def hours_in(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(usage_hourly).order_by(usage_hourly.c.hour, usage_hourly.c.key_sha256)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def filled(engine: Engine, catch_up: CatchUp) -> list[dict[str, Any]]:
    """Events of the old month that hold what is awkward to write, all of them rolled up; and one of this month."""
    events = [
        an_old_event(1, project='a "b", c\n\td\\', finish_reason=None, ttft_ms=None, ttfa_ms=None),
        an_old_event(2, finish_reason="", engine_seconds=4.440892098500626e-16, labels={"task": "红", "k": ""}),
        an_old_event(3, project="\\N", engine_seconds=1e7, api_key_id="01890a5d-ac96-774b-bcce-b302099a8057"),
        *(an_old_event(30 + n, engine_seconds=0.1 * n) for n in range(40)),
    ]
    deliver(engine, *events, an_event())
    catch_up()
    return events


def test_the_file_holds_every_column_of_every_event(engine: Engine, folder: Path, filled: list[dict[str, Any]]) -> None:
    with engine.connect() as connection:
        wanted = [dict(row) for row in connection.execute(
            select(usage_event).where(usage_event.c.occurred_at < month_after(OLD)).order_by(usage_event.c.id)
        ).mappings()]  # fmt: skip
    done = archive(engine, old_month(engine), folder)
    found = pq.read_table(done.file).to_pylist()
    assert len(found) == len(filled)
    for row, event in zip(found, wanted, strict=True):
        del event["stored_xid"]
        key = event["api_key_id"]
        assert row.pop("labels").replace(" ", "") == ("{}" if not event["labels"] else '{"k":"","task":"红"}')
        assert row == {
            **{name: value for name, value in event.items() if name != "labels"},
            "id": str(event["id"]),
            "api_key_id": None if key is None else str(key),
        }


def test_an_archived_month_is_gone_from_the_events_and_still_in_the_rollup(
    engine: Engine, folder: Path, filled: list[dict[str, Any]]
) -> None:
    before = hours_in(engine)
    done = archive(engine, old_month(engine), folder)
    assert partition_name(OLD) not in tables_in(engine)
    with engine.connect() as connection:
        assert len(connection.execute(select(usage_event.c.id)).all()) == 1
        row = connection.execute(select(usage_archive)).one()
    assert (row.requests, row.file, row.sha256) == (
        len(filled), str(done.file), hashlib.sha256(done.file.read_bytes()).digest(),
    )  # fmt: skip
    assert row.dropped_at is not None
    assert hours_in(engine) == before


def test_rebuilding_the_rollup_leaves_archived_hours_and_days_as_they_are(
    engine: Engine, folder: Path, filled: list[dict[str, Any]]
) -> None:
    before = hours_in(engine), days_in(engine)
    archive(engine, old_month(engine), folder)
    rebuild(engine)
    assert (hours_in(engine), days_in(engine)) == before


async def test_a_late_duplicate_of_an_archived_event_is_kept_among_the_dead_letters_and_not_counted(
    client: httpx.AsyncClient, engine: Engine, folder: Path, filled: list[dict[str, Any]], catch_up: CatchUp
) -> None:
    before = hours_in(engine)
    await asyncio.to_thread(lambda: archive(engine, old_month(engine), folder))
    fresh, late = an_event(), filled[0]
    answer = await client.post("/v1/events", content=a_delivery(fresh, late, fresh), headers=SERVICE)
    assert answer.status_code == httpx.codes.OK
    assert (answer.json()["new"], answer.json()["duplicate"], answer.json()["rejected"]) == (1, 1, 1)
    (rejection,) = answer.json()["rejections"]
    assert (rejection["index"], rejection["id"]) == (1, late["id"])
    assert f"{OLD:%Y-%m} is archived" in rejection["reason"]
    with engine.connect() as connection:
        letter = connection.execute(select(dead_letter)).one()
    assert (letter.event_id, letter.reason) == (late["id"], rejection["reason"])
    await asyncio.to_thread(catch_up)
    assert [row for row in hours_in(engine) if row.hour < month_after(OLD)] == [
        row for row in before if row.hour < month_after(OLD)
    ]


def test_no_partition_is_made_again_for_an_archived_month(
    engine: Engine, folder: Path, filled: list[dict[str, Any]]
) -> None:
    archive(engine, old_month(engine), folder)
    assert ensure_partitions(engine, [OLD]) == []
    assert partition_name(OLD) not in tables_in(engine)


def test_a_duplicate_is_known_in_whatever_month_it_lies(engine: Engine) -> None:
    """The id decides the partition, so the same event can never go to another one, whenever it comes."""
    edge = month_after(OLD)
    moments = [edge - timedelta(milliseconds=1), edge, edge + timedelta(milliseconds=1), NOW - timedelta(days=390), NOW]
    events = [an_event(at=moment) for moment in moments]
    assert deliver(engine, *events).new == len(events)
    again = deliver(engine, *reversed(events), an_event())
    assert (again.new, again.duplicate, again.rejections) == (1, len(events), [])


def test_nothing_young_is_old(engine: Engine, filled: list[dict[str, Any]]) -> None:
    months = [old.month for old in old_months(engine, keep_months=KEEP, now=NOW)]
    assert months == [OLD]
    assert old_months(engine, keep_months=KEEP + 1, now=NOW) == []


@pytest.mark.parametrize("cut_off_at", ["write_archive", "archive_totals", "_rename"])
def test_a_run_that_is_cut_off_loses_nothing_and_is_taken_up_by_the_next(
    engine: Engine, folder: Path, filled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, cut_off_at: str
) -> None:
    class CutOffError(Exception):
        pass

    def cut_off(*_: Any) -> None:
        raise CutOffError

    with monkeypatch.context() as patch:
        patch.setattr(retention, cut_off_at, cut_off)
        with pytest.raises(CutOffError):
            archive(engine, old_month(engine), folder)
    assert partition_name(OLD) in tables_in(engine)
    assert deliver(engine, filled[0]).rejections, "a month that is detached takes no more events"
    cut = old_month(engine)
    assert (cut.detached, cut.totals.requests) == (True, len(filled))
    assert archive(engine, cut, folder).totals.requests == len(filled)
    assert partition_name(OLD) not in tables_in(engine)
    assert old_months(engine, keep_months=KEEP, now=NOW) == []


def test_a_file_that_does_not_agree_drops_nothing(
    engine: Engine, folder: Path, filled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_token_less(path: Path) -> Totals:
        found = archive_totals(path)
        return Totals(found.requests, (found.tokens[0] - 1, *found.tokens[1:]), found.engine_seconds)

    with monkeypatch.context() as patch:
        patch.setattr(retention, "archive_totals", one_token_less)
        with pytest.raises(RetentionError, match="The rows stay"):
            archive(engine, old_month(engine), folder)
    assert partition_name(OLD) in tables_in(engine)
    assert not (folder / f"{partition_name(OLD)}.parquet").exists()


def test_a_month_whose_rollup_is_wrong_is_not_closed(
    engine: Engine, folder: Path, filled: list[dict[str, Any]]
) -> None:
    with engine.begin() as connection:
        connection.execute(update(usage_hourly).values(think=usage_hourly.c.think + 1))
    with pytest.raises(RetentionError, match="rebuild"):
        archive(engine, old_month(engine), folder)
    with engine.begin() as connection:
        connection.execute(delete(usage_hourly))
        connection.execute(delete(usage_daily))
    rebuild(engine)
    assert archive(engine, old_month(engine), folder).totals.requests == len(filled)


def test_a_month_that_is_being_read_is_left_for_another_time(
    engine: Engine, folder: Path, filled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_LOCK_WAIT", "50ms")
    with engine.begin() as reader:
        reader.execute(select(usage_event.c.id).limit(1)).all()
        with pytest.raises(RetentionError, match="in use"):
            archive(engine, old_month(engine), folder)
    assert archive(engine, old_month(engine), folder).totals.requests == len(filled)


def test_a_file_of_another_database_is_not_overwritten(
    engine: Engine, folder: Path, filled: list[dict[str, Any]]
) -> None:
    other = folder / f"{partition_name(OLD)}.parquet"
    other.write_bytes(b"precious")
    with pytest.raises(RetentionError, match="exists"):
        archive(engine, old_month(engine), folder)
    assert other.read_bytes() == b"precious"
    assert not old_month(engine).detached


def test_a_month_leaves_while_events_come_in(engine: Engine, folder: Path, filled: list[dict[str, Any]]) -> None:
    done, sent = threading.Event(), list[str]()

    def keep_sending() -> None:
        while not done.is_set():
            events = [an_event() for _ in range(5)]
            assert deliver(engine, *events).new == len(events)
            sent.extend(event["id"] for event in events)

    with ThreadPoolExecutor(2) as pool:
        senders = [pool.submit(keep_sending) for _ in range(2)]
        try:
            archive(engine, old_month(engine), folder)
        finally:
            done.set()
    for sender in senders:
        sender.result()
    with engine.connect() as connection:
        kept = {str(event_id) for event_id in connection.execute(select(usage_event.c.id)).scalars()}
    assert set(sent) <= kept


@pytest.fixture
def command(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for name in [name for name in os.environ if name.startswith("KAT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(cli, "configure_logs", lambda **_: None)
    url = engine.url.render_as_string(hide_password=False)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(cli.metering, ["retention", *arguments], env={"KAT_DATABASE_URL": url})

    return run


def test_the_command_changes_nothing_until_it_is_given_a_folder(
    command: Callable[..., Any], engine: Engine, folder: Path, filled: list[dict[str, Any]]
) -> None:
    told = command("--keep-months", str(KEEP))
    assert told.exit_code == 0, told.output
    assert f"{OLD:%Y-%m}: {len(filled)} events" in told.output
    assert "Nothing was changed" in told.output
    assert partition_name(OLD) in tables_in(engine)

    done = command("--keep-months", str(KEEP), "--into", str(folder))
    assert done.exit_code == 0, done.output
    assert [file.name for file in folder.iterdir()] == [f"{partition_name(OLD)}.parquet"]
    assert "Nothing is older" in command("--keep-months", str(KEEP)).output


def test_the_command_says_why_a_month_stays(
    command: Callable[..., Any], folder: Path, filled: list[dict[str, Any]]
) -> None:
    (folder / f"{partition_name(OLD)}.parquet").touch()
    done = command("--keep-months", str(KEEP), "--into", str(folder))
    assert done.exit_code == 1
    assert "exists" in done.output
