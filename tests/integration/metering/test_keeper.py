"""What a running service does by itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from kat_metering.store.partitions import month_after, month_of, partition_name, partitions


async def test_a_running_service_makes_the_partitions_of_the_months_ahead(serve: Any, engine: Engine) -> None:
    now = datetime.now(UTC)

    def months() -> set[str]:
        with engine.connect() as connection:
            return partitions(connection)

    async with serve(clock=lambda: now):
        ahead = partition_name(month_after(month_of(now), 4))
        assert ahead not in months()
        now += timedelta(days=62)
        async with asyncio.timeout(60):
            while ahead not in months():  # noqa: ASYNC110 - the service does not announce it
                await asyncio.sleep(0.02)
