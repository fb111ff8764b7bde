"""The schema's version: bring it to head, and tell whether it is there."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from kat_metering.store.engine import without_time_limit

_MIGRATION_LOCK = 0x6B61_7401  # "kat" and a number: advisory locks are named by integers


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def upgrade_schema(engine: Engine) -> None:
    """Run the migrations that are missing, all in one transaction. Services that start together take turns."""
    with engine.begin() as connection:
        without_time_limit(connection)
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        command.upgrade(_config(connection), "head")


def is_at_head(connection: Connection) -> bool:
    """Whether the database has the schema that this code was written for."""
    current = MigrationContext.configure(connection).get_current_heads()
    return set(current) == set(ScriptDirectory.from_config(_config()).get_heads())
