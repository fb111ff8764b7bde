"""GET /v1/requests/{id}: one request, rated as soon as its event is in."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select

from kat.usage_event import Segment, new_event_id
from kat_metering.store.tables import PROMPT_BUCKETS, usage_hourly
from kat_metering.token_ratios import prompt_bucket
from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, got, key_of_new_tenant
from tests.fakes.usage_events import an_event


async def test_a_request_has_its_cost_and_its_saving_by_both_methods(client: httpx.AsyncClient) -> None:
    event = an_event(labels={"task": "humaneval"})
    await deliver(client, event)
    report = await got(client, f"/v1/requests/{event['id']}")
    # 120 prompt tokens at 0.04 and 492 generated ones at 0.10 per million; the latter times 5/2 for the baseline.
    assert (report["cost"], report["currency"]) == ("0.000054", "USD")
    assert report["baseline"] == {"name": "kat-v1-200b", "hypothetical": False, "cost": "0.0001278"}
    assert (report["savings"]["L1"]["amount"], report["savings"]["L1"]["label"]) == ("0", "equal_tokens")
    assert (report["savings"]["L2"]["amount"], report["savings"]["L2"]["label"]) == ("0.0000738", "cited")


async def test_an_unlabelled_request_saves_as_much_by_l2_as_by_l1_and_says_why(client: httpx.AsyncClient) -> None:
    event = an_event()
    await deliver(client, event)
    savings = (await got(client, f"/v1/requests/{event['id']}", baseline="dense-200b"))["savings"]
    assert savings["L2"]["amount"] == savings["L1"]["amount"]
    assert savings["L2"]["reason"] == "no_shadow_sample"


async def test_an_aborted_request_has_a_cost_and_no_saving(client: httpx.AsyncClient) -> None:
    event = an_event(status="aborted")
    await deliver(client, event)
    report = await got(client, f"/v1/requests/{event['id']}")
    assert Decimal(report["cost"]) > 0
    assert (report["savings"]["L1"]["amount"], report["savings"]["L1"]["reason"]) == (None, "aborted")


async def test_an_unpriced_request_names_its_unpriced_segments(client: httpx.AsyncClient) -> None:
    event = an_event(model="unknown", tokens={segment.value: 0 for segment in Segment} | {"think": 9})
    await deliver(client, event)
    report = await got(client, f"/v1/requests/{event['id']}")
    assert (report["cost"], report["unpriced_segments"]) == (None, {"think": 9})


async def test_a_request_is_not_found_until_its_event_is_in(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1/requests/{new_event_id()}", headers=ADMIN)
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_is_no_id_is_a_problem_that_names_the_parameter(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/requests/7", headers=ADMIN)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY


async def test_a_tenants_key_does_not_find_the_request_of_another(client: httpx.AsyncClient) -> None:
    key = await key_of_new_tenant(client, "acme")
    own, other = an_event(tenant="acme"), an_event(tenant="zeta")
    await deliver(client, own, other)
    statuses = [(await client.get(f"/v1/requests/{each['id']}", headers=key)).status_code for each in (own, other)]
    assert statuses == [httpx.codes.OK, httpx.codes.NOT_FOUND]


@pytest.mark.parametrize("length", [0, 255, 256, 1023, 1024, 4095, 4096])
async def test_a_request_falls_into_the_class_of_prompt_length_that_the_roll_up_puts_it_in(
    client: httpx.AsyncClient, engine: Engine, catch_up: Callable[[], Any], length: int
) -> None:
    await deliver(client, an_event(tokens={segment.value: 0 for segment in Segment} | {"prompt": length}))
    catch_up()
    with engine.connect() as connection:
        [bucket] = connection.execute(select(usage_hourly.c.prompt_bucket)).scalars()
    assert bucket == prompt_bucket(length)
    assert bucket in PROMPT_BUCKETS
