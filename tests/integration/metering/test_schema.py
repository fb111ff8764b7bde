"""Migrations, and the partitions of the events."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, func, select, text
from sqlalchemy.types import UserDefinedType

from kat_metering.keeper import prepare
from kat_metering.store.engine import make_engine
from kat_metering.store.partitions import ensure_partitions, month_after, month_of, partition_name
from kat_metering.store.schema import is_at_head, upgrade_schema
from kat_metering.store.tables import metadata, price


def tables_in(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars())


@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")
def test_the_migrations_make_the_tables_that_the_code_knows(empty_engine: Engine) -> None:
    upgrade_schema(empty_engine)

    def same_type(_context: Any, _inspected: Any, column: Any, _found: Any, known: Any) -> bool | None:
        # SQLAlchemy does not know xid8 when it reads it back.
        return False if isinstance(known, UserDefinedType) else None

    with empty_engine.connect() as connection:
        assert is_at_head(connection)
        context = MigrationContext.configure(
            connection, opts={"compare_type": same_type, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_services_that_start_together_prepare_the_database_once(empty_engine: Engine) -> None:
    errors: list[Exception] = []

    def start() -> None:
        try:
            prepare(empty_engine, migrate=True, currency="USD", now=datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - a thread's error must reach the test
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with empty_engine.connect() as connection:
        assert is_at_head(connection)
        assert connection.execute(
            select(func.count()).select_from(price).group_by(price.c.model, price.c.segment, price.c.mode)
        ).scalars().all() == [1] * connection.execute(select(func.count()).select_from(price)).scalar_one()  # fmt: skip


def test_the_months_around_now_have_a_partition_before_they_need_one(empty_engine: Engine) -> None:
    prepare(empty_engine, migrate=True, currency="USD", now=datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    found = {name for name in tables_in(empty_engine) if name.startswith("usage_event_")}
    assert found == {f"usage_event_{month}" for month in ("2026_10", "2026_11", "2026_12", "2027_01", "2027_02")}


def test_a_partition_is_made_while_others_read_and_write(engine: Engine) -> None:
    month = month_after(month_of(datetime.now(UTC)), 5)
    with engine.begin() as reader, engine.begin() as writer:
        reader.execute(text("SELECT count(*) FROM usage_event"))
        writer.execute(text("INSERT INTO usage_event SELECT * FROM usage_event"))
        quick = make_engine(str(engine.url.render_as_string(hide_password=False)), connections=3, timeout_seconds=5)
        assert ensure_partitions(quick, [month]) == [partition_name(month)]
        assert ensure_partitions(quick, [month]) == []
        quick.dispose()
