"""A tenant with usage to state."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from tests.fakes.metering_calls import deliver
from tests.fakes.statement_calls import LAST_MONTH, MILLION_THOUGHTS, CatchUp
from tests.fakes.usage_events import an_event


@pytest.fixture
async def used(client: httpx.AsyncClient, catch_up: CatchUp) -> httpx.AsyncClient:
    """A service where acme thought a million tokens last month."""
    await deliver(client, an_event(at=LAST_MONTH + timedelta(days=3), tokens=MILLION_THOUGHTS))
    catch_up()
    return client
