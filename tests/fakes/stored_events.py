"""Usage events put into the database past the service."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert

from kat.usage_event import UsageEvent
from kat_metering.store.tables import usage_event


def insert_event(connection: Connection, event: dict[str, Any]) -> None:
    """Store an event in a transaction of the test's own."""
    valid = UsageEvent.model_validate(event)
    connection.execute(
        insert(usage_event).values(
            id=valid.id,
            occurred_at=valid.time,
            source=valid.source,
            task="",
            **valid.data.model_dump(exclude={"tokens"}),
            **valid.data.tokens.model_dump(),
        )
    )
