"""GET /v1/savings and its estimate: the method, the baseline, and what the figures rest on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, delete, insert, update

from kat.usage_event import Segment, new_event_id
from kat_metering.store.tables import baseline, baseline_price, price, shadow_sample, token_ratio
from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, got, key_of_new_tenant
from tests.fakes.usage_events import an_event

CatchUp = Callable[[], Any]
HUMANEVAL = {"task": "humaneval"}


def sampled(engine: Engine, count: int, *, ours: int, theirs: int, task: str = "") -> None:
    """Shadow samples of short think-on requests, all alike."""
    with engine.begin() as connection:
        connection.execute(
            insert(shadow_sample),
            [
                {
                    "id": new_event_id(),
                    "baseline": "kat-v1-200b",
                    "taken_at": datetime.now(UTC) - timedelta(days=1),
                    "model": "KAT-V1-40B",
                    "mode": "on",
                    "task": task,
                    "prompt_bucket": "0-255",
                    "tokens_ours": ours,
                    "tokens_baseline": theirs + (i % 3 - 1),
                }
                for i in range(count)
            ],
        )


def tokens(**given: int) -> dict[str, int]:
    return {segment.value: 0 for segment in Segment} | given


async def test_by_default_savings_are_l2_against_the_200b_of_the_family(client: httpx.AsyncClient) -> None:
    report = await got(client, "/v1/savings")
    assert (report["method"], report["baseline"]["name"]) == ("L2", "kat-v1-200b")
    assert report["baseline"]["active_parameters"] == 40_000_000_000


async def test_a_labelled_request_is_compared_at_the_cited_ratio(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    await deliver(client, an_event(labels=HUMANEVAL, tokens=tokens(think=1_000_000)))
    catch_up()
    report = await got(client, "/v1/savings", group_by="task")
    [row] = report["rows"]
    assert (row["task"], row["actual_cost"], row["baseline_cost"], row["savings"]) == (
        "humaneval",
        "0.1",
        "0.25",
        "0.15",
    )
    assert (row["token_basis"], row["interval"]) == ("cited", None)
    assert any("DeepSeek-R1-0528" in assumption for assumption in report["assumptions"])


async def test_enough_shadow_samples_give_a_measured_saving_with_an_interval(
    client: httpx.AsyncClient, engine: Engine, catch_up: CatchUp
) -> None:
    await deliver(client, an_event(tokens=tokens(think=1_000_000)))
    catch_up()
    sampled(engine, 30, ours=100, theirs=150)
    totals = (await got(client, "/v1/savings"))["totals"]
    assert (totals["savings"], totals["token_basis"], totals["samples"]) == ("0.05", "measured", 30)
    assert float(totals["interval"]["low"]) < 0.05 < float(totals["interval"]["high"])


async def test_too_few_shadow_samples_are_not_used_and_that_is_said(
    client: httpx.AsyncClient, engine: Engine, catch_up: CatchUp
) -> None:
    await deliver(client, an_event(tokens=tokens(think=1_000_000)))
    catch_up()
    sampled(engine, 29, ours=100, theirs=150)
    report = await got(client, "/v1/savings")
    assert (report["totals"]["savings"], report["totals"]["token_basis"]) == ("0", "equal_tokens")
    assert [(each["reason"], each["left_out"]) for each in report["exclusions"]] == [("too_few_samples", False)]


async def test_aborted_and_failed_requests_are_in_the_cost_but_not_in_the_saving(
    client: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    await deliver(client, an_event(), an_event(status="aborted"), an_event(status="error"))
    catch_up()
    report = await got(client, "/v1/savings", method="L1", baseline="dense-200b")
    assert report["totals"]["requests"] == 1
    assert [each["reason"] for each in report["exclusions"]] == ["aborted", "error"]
    assert (await got(client, "/v1/usage"))["totals"]["requests"] == 3


async def test_the_actual_cost_of_a_saving_is_the_cost_that_usage_reports(
    client: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    await deliver(client, *(an_event(mode=mode, labels=HUMANEVAL) for mode in ("on", "off", "on")))
    catch_up()
    usage, savings = await got(client, "/v1/usage"), await got(client, "/v1/savings")
    assert usage["totals"]["cost"] == savings["totals"]["actual_cost"]


async def test_an_unknown_baseline_is_a_problem_that_names_the_known_ones(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/savings", params={"baseline": "gpt"}, headers=ADMIN)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    [error] = answer.json()["errors"]
    assert error == {"field": "baseline", "message": "known ones: deepseek-r1-0528, dense-200b, kat-v1-200b"}


async def test_two_currencies_are_a_conflict(client: httpx.AsyncClient, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(price).values(currency="EUR"))
    assert (await client.get("/v1/savings", headers=ADMIN)).status_code == httpx.codes.CONFLICT


async def test_without_baselines_the_problem_says_so(client: httpx.AsyncClient, engine: Engine) -> None:
    with engine.begin() as connection:
        for table in (token_ratio, baseline_price, baseline):
            connection.execute(delete(table))
    answer = await client.get("/v1/savings", headers=ADMIN)
    assert answer.json()["errors"][0]["message"] == "known ones: none"


async def test_a_tenants_key_sees_its_own_savings_only(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    key = await key_of_new_tenant(client, "acme")
    await deliver(client, an_event(tenant="acme"), an_event(tenant="zeta"))
    catch_up()
    report = await got(client, "/v1/savings", key, group_by="tenant")
    assert [row["tenant"] for row in report["rows"]] == ["acme"]


async def test_the_estimate_gives_the_300_usd_of_the_article(client: httpx.AsyncClient) -> None:
    report = await got(client, "/v1/savings/estimate", task="humaneval", calls="1e6")
    assert (report["savings"], report["currency"]) == ("300", "USD")


@pytest.mark.parametrize(
    ("params", "field"),
    [({"task": "chess"}, "task"), ({"calls": "0"}, "calls"), ({"gpu_hour_price": "x"}, "gpu_hour_price")],
)
async def test_a_bad_figure_of_an_estimate_is_a_problem_that_names_it(
    client: httpx.AsyncClient, params: dict[str, str], field: str
) -> None:
    answer = await client.get("/v1/savings/estimate", params=params, headers=ADMIN)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in answer.json()["errors"]] == [field]
