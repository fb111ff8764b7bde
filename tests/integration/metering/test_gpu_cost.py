"""GPU time over HTTP: recorded by the platform, shared out by the usage of each tenant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.fakes.metering import SERVICE
from tests.fakes.metering_calls import deliver, got, key_of_new_tenant
from tests.fakes.usage_events import an_event

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=30)


def a_replica_hour(**more: Any) -> dict[str, Any]:
    """Two GPUs for an hour, on the replica that events of the tests come from."""
    return {"source": "predictor-0:8080", "hour": HOUR.isoformat(), "gpus": 2, "gpu_hour_price": "3", **more}


async def recorded(
    client: httpx.AsyncClient, *hours: dict[str, Any], headers: dict[str, str] = SERVICE
) -> httpx.Response:
    return await client.post("/v1/gpu-cost/replica-hours", json=hours, headers=headers)


async def report_of(client: httpx.AsyncClient) -> Any:
    return await got(client, "/v1/gpu-cost", start=HOUR.isoformat(), end=(HOUR + timedelta(hours=2)).isoformat())


async def test_the_report_shares_out_what_was_recorded(client: httpx.AsyncClient) -> None:
    assert (await recorded(client, a_replica_hour())).json() == {"replica_hours": 1}
    await deliver(
        client,
        an_event(at=HOUR + timedelta(minutes=1), engine_seconds=600),
        an_event(at=HOUR + timedelta(minutes=2), engine_seconds=300),
        an_event(at=HOUR, engine_seconds=900, tenant="zeta"),
        an_event(at=HOUR - timedelta(hours=2), engine_seconds=900),
    )
    report = await report_of(client)
    assert [(row["tenant"], row["gpu_seconds"], row["cost"]) for row in report["rows"]] == [
        ("acme", "1800", "1.5"), ("zeta", "1800", "1.5")]  # fmt: skip
    assert (report["idle"]["cost"], report["total"]["cost"], report["total"]["gpu_seconds"]) == ("3", "6", "7200")
    assert (report["replica_hours"], report["unplaced_engine_seconds"]) == (1, "0")


async def test_an_hour_that_is_recorded_again_takes_the_new_figures(client: httpx.AsyncClient) -> None:
    await recorded(client, a_replica_hour(seconds="60"))
    await recorded(client, a_replica_hour(seconds="120"))
    assert (await report_of(client))["total"]["gpu_seconds"] == "240"


async def test_work_of_a_replica_that_nobody_recorded_is_told(client: httpx.AsyncClient) -> None:
    await deliver(client, an_event(at=HOUR, engine_seconds=12.5))
    report = await report_of(client)
    assert (report["rows"], report["unplaced_engine_seconds"]) == ([], "12.5")


async def test_an_hour_without_a_price_takes_the_configured_one(serve: Callable[..., Any]) -> None:
    async with serve(gpu_hour_price=Decimal("2.5")) as client:
        await recorded(client, a_replica_hour(gpu_hour_price=None))
        assert (await report_of(client))["total"]["cost"] == "5"


@pytest.mark.parametrize(
    ("hours", "field"),
    [
        ([a_replica_hour(gpu_hour_price=None)], "[0].gpu_hour_price"),
        ([a_replica_hour(), a_replica_hour()], "[1].hour"),
        ([a_replica_hour(seconds="3601")], "[0].seconds"),
        ([a_replica_hour(gpus=0)], "[0].gpus"),
        ([a_replica_hour(hour=(HOUR + timedelta(minutes=1)).isoformat())], "[0].hour"),
    ],
)
async def test_an_hour_that_cannot_be_is_refused_and_named(
    client: httpx.AsyncClient, hours: list[dict[str, Any]], field: str
) -> None:
    answer = await recorded(client, *hours)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_tenants_key_may_neither_record_nor_read(client: httpx.AsyncClient) -> None:
    key = await key_of_new_tenant(client, "acme")
    assert (await recorded(client, a_replica_hour(), headers=key)).status_code == httpx.codes.FORBIDDEN
    assert (await client.get("/v1/gpu-cost", headers=key)).status_code == httpx.codes.FORBIDDEN
