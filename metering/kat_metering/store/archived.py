"""Months whose events have left the database. What is read from events would look complete there, and be empty."""

from __future__ import annotations

from sqlalchemy import Connection, select

from kat_metering.errors import ConflictError
from kat_metering.periods import Window
from kat_metering.store.partitions import month_after
from kat_metering.store.tables import usage_archive


def refuse_archived(connection: Connection, window: Window, what: str) -> None:
    """Raises ConflictError where events of the window are archived; `what` needs them."""
    months = connection.execute(select(usage_archive.c.month).order_by(usage_archive.c.month)).scalars()
    archived = [month for month in months if month < window.end and month_after(month) > window.start]
    if archived:
        named = ", ".join(f"{month:%Y-%m}" for month in archived)
        raise ConflictError(f"{what} needs the events of {named}, which are archived.")
