"""Shadow samples in metering: taken once, shown by stratum, and what measured savings rest on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from kat.usage_event import new_event_id
from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, got, key_of_new_tenant
from tests.fakes.usage_events import an_event

CatchUp = Callable[[], Any]
BASELINE = "kat-v1-200b"


def a_sample(**more: Any) -> dict[str, Any]:
    return {
        "id": str(new_event_id()),
        "taken_at": (datetime.now(UTC) - timedelta(days=1)).isoformat(),
        "model": "KAT-V1-40B",
        "mode": "on",
        "task": "",
        "prompt_tokens": 100,
        "tokens_ours": 100,
        "tokens_baseline": 150,
        "latency_ours_ms": 500,
        "latency_baseline_ms": 900,
        **more,
    }


async def posted(client: httpx.AsyncClient, *samples: dict[str, Any], baseline: str = BASELINE) -> httpx.Response:
    return await client.post("/v1/shadow/samples", json={"baseline": baseline, "samples": samples}, headers=ADMIN)


async def test_a_sample_is_taken_once(client: httpx.AsyncClient) -> None:
    samples = [a_sample(), a_sample()]
    assert (await posted(client, *samples)).json() == {"new": 2, "duplicate": 0}
    assert (await posted(client, *samples, a_sample())).json() == {"new": 1, "duplicate": 2}


async def test_samples_are_shown_by_stratum(client: httpx.AsyncClient) -> None:
    judged = [{"verdict": verdict, "judge": "a judge"} for verdict in ("better", "same", "worse")]
    await posted(client, *(a_sample(**each) for each in judged), a_sample(), a_sample(prompt_tokens=5_000, mode="off"))
    summary = await got(client, "/v1/shadow/samples")
    assert [(each["mode"], each["prompt_bucket"], each["samples"]) for each in summary["strata"]] == [
        ("off", "4096+", 1), ("on", "0-255", 4)]  # fmt: skip
    stratum = summary["strata"][1]
    assert (stratum["judged"], stratum["no_worse"], stratum["latency_baseline_ms"]) == (3, 2, 900)


async def test_enough_of_them_turn_a_claim_of_nothing_into_a_measured_saving(
    client: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    await deliver(client, an_event(tokens={"think": 1_000_000}))
    catch_up()
    before = (await got(client, "/v1/savings"))["totals"]
    await posted(client, *(a_sample() for _ in range(30)))
    after = (await got(client, "/v1/savings"))["totals"]
    assert (before["token_basis"], before["savings"]) == ("equal_tokens", "0")
    assert (after["token_basis"], after["savings"], after["samples"]) == ("measured", "0.05", 30)


async def test_l3_counts_what_was_judged_no_worse(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    await deliver(client, an_event(tokens={"think": 1_000_000}))
    catch_up()
    verdicts = ["worse", "same"] * 20
    await posted(client, *(a_sample(verdict=verdict, judge="a judge") for verdict in verdicts))
    report = await got(client, "/v1/savings", method="L3")
    assert (report["totals"]["savings"], report["strata"][0]["no_worse"]) == ("0.025", 0.5)
    assert report["strata"][0]["source"].endswith("judged by a judge")


async def test_nothing_but_counts_latency_and_verdict_has_a_column(engine: Engine) -> None:
    with engine.connect() as connection:
        columns = connection.execute(
            text("SELECT column_name FROM information_schema.columns WHERE table_name = 'shadow_sample'")
        ).scalars()
        assert set(columns) == {
            "id", "baseline", "event_id", "taken_at", "model", "mode", "task", "prompt_bucket", "tokens_ours",
            "tokens_baseline", "latency_ours_ms", "latency_baseline_ms", "verdict", "judge"}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"mode": "undecided"}, "mode"),
        ({"tokens_ours": -1}, "tokens_ours"),
        ({"verdict": "worse"}, None),
        ({"answer": "a text"}, "answer"),
    ],
)
async def test_a_sample_that_cannot_be_is_refused(
    client: httpx.AsyncClient, changed: dict[str, Any], field: str | None
) -> None:
    answer = await posted(client, a_sample(**changed))
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert field is None or field in answer.json()["errors"][0]["field"]


async def test_an_unknown_baseline_is_refused(client: httpx.AsyncClient) -> None:
    assert (await posted(client, a_sample(), baseline="gpt")).status_code == httpx.codes.UNPROCESSABLE_ENTITY


async def test_a_tenants_key_may_look_and_not_add(client: httpx.AsyncClient) -> None:
    key = await key_of_new_tenant(client, "acme")
    body = {"baseline": BASELINE, "samples": [a_sample()]}
    added = await client.post("/v1/shadow/samples", json=body, headers=key)
    assert added.status_code == httpx.codes.FORBIDDEN
    assert (await got(client, "/v1/shadow/samples", key))["strata"] == []
