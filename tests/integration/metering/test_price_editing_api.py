"""Price book over HTTP: what a file would change, re-rating, versions, closed months, discounts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, got, key_of_new_tenant
from tests.fakes.usage_events import an_event

CatchUp = Callable[[], Any]
THIS_MONTH = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
LAST_MONTH = (THIS_MONTH - timedelta(days=1)).replace(day=1)
NEXT_MONTH = (THIS_MONTH + timedelta(days=32)).replace(day=1)


def an_entry(start: datetime, per_million: str = "0.2", **changed: Any) -> dict[str, Any]:
    return {
        "model": "KAT-V1-40B",
        "segment": "think",
        "per_million": per_million,
        "currency": "USD",
        "effective_from": start.isoformat(),
        "basis": "compute",
        "source": "GPU contract",
        "source_date": "2026-11-01",
        **changed,
    }


async def posted(client: httpx.AsyncClient, path: str, *entries: Any) -> Any:
    answer = await client.post(path, json=list(entries), headers=ADMIN)
    assert answer.status_code in {httpx.codes.OK, httpx.codes.CREATED}, answer.text
    return answer.json()


async def cost_of_acme(client: httpx.AsyncClient) -> str:
    report = await got(client, "/v1/usage", tenant="acme", start=LAST_MONTH.isoformat())
    return str(report["totals"]["cost"])


@pytest.fixture
async def used(client: httpx.AsyncClient, catch_up: CatchUp) -> httpx.AsyncClient:
    """A service where acme thought a million tokens at the start of last month."""
    await deliver(client, an_event(at=LAST_MONTH, tokens={"think": 1_000_000}))
    catch_up()
    return client


async def test_re_rating_an_open_month_changes_its_cost(used: httpx.AsyncClient) -> None:
    assert await cost_of_acme(used) == "0.1"
    await posted(used, "/v1/prices/rerate", an_entry(LAST_MONTH, effective_to=THIS_MONTH.isoformat()))
    assert await cost_of_acme(used) == "0.2"


async def test_a_comparison_tells_the_effect_on_each_tenants_cost_and_changes_nothing(used: httpx.AsyncClient) -> None:
    found = await posted(used, "/v1/prices/diff?rerate=true", an_entry(LAST_MONTH))
    assert found["impact"] == [{"tenant": "acme", "cost_before": "0.1", "cost_after": "0.2"}]
    assert sorted(each["change"] for each in found["differences"]) == ["added", "changed"]
    assert await cost_of_acme(used) == "0.1"


async def test_what_an_import_does_is_what_its_comparison_said(client: httpx.AsyncClient) -> None:
    entry = an_entry(NEXT_MONTH)
    said = await posted(client, "/v1/prices/diff", entry)
    await posted(client, "/v1/prices", entry)
    done = await got(client, "/v1/prices/diff", start="1", end="2")
    assert (done["differences"], done["impact"]) == (said["differences"], [])


async def test_a_comparison_of_a_bad_file_names_its_entry(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/prices/diff", json=[an_entry(NEXT_MONTH, "-1")], headers=ADMIN)
    assert [error["field"] for error in answer.json()["errors"]] == ["prices[0].per_million"]


async def test_every_change_of_the_book_is_a_version_and_what_was_found_is_the_first(client: httpx.AsyncClient) -> None:
    assert (await got(client, "/v1/prices/versions"))["versions"] == []
    await posted(client, "/v1/prices", an_entry(NEXT_MONTH))
    await posted(client, "/v1/prices", an_entry(NEXT_MONTH))  # nothing new
    await posted(client, "/v1/prices/rerate", an_entry(NEXT_MONTH, "0.3"))
    versions = (await got(client, "/v1/prices/versions"))["versions"]
    assert [(each["number"], each["kind"]) for each in versions] == [(3, "rerate"), (2, "import"), (1, "found")]
    [change] = (await got(client, "/v1/prices/diff", start="2"))["differences"]
    assert (change["before"]["per_million"], change["after"]["per_million"]) == ("0.2", "0.3")


@pytest.mark.parametrize("params", [{"start": "1"}, {"start": "0"}, {"start": "99999999999999999999"}])
async def test_a_version_that_is_not_there_is_named(client: httpx.AsyncClient, params: dict[str, str]) -> None:
    answer = await client.get("/v1/prices/diff", params={"from": params["start"]}, headers=ADMIN)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in answer.json()["errors"]] == ["from"]


class TestClosedMonths:
    @pytest.fixture
    async def closed(self, used: httpx.AsyncClient) -> httpx.AsyncClient:
        closing = {"tenant": "acme", "month": f"{LAST_MONTH:%Y-%m}"}
        made = await used.post("/v1/statements", json=closing, headers=ADMIN)
        assert made.status_code == httpx.codes.CREATED, made.text
        return used

    @pytest.mark.parametrize("path", ["/v1/prices", "/v1/prices/rerate", "/v1/prices/diff"])
    async def test_a_price_in_force_in_a_closed_month_does_not_change(
        self, closed: httpx.AsyncClient, path: str
    ) -> None:
        entry = an_entry(LAST_MONTH + timedelta(days=1))
        answer = await closed.post(path, json=[entry], headers=ADMIN)
        assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        [error] = answer.json()["errors"]
        assert error["message"] == f"would change a price in {LAST_MONTH:%Y-%m}, of which statements are closed"
        assert await cost_of_acme(closed) == "0.1"

    async def test_prices_of_the_open_months_after_it_do(self, closed: httpx.AsyncClient) -> None:
        await posted(closed, "/v1/prices/rerate", an_entry(THIS_MONTH))
        assert await cost_of_acme(closed) == "0.1"

    async def test_a_discount_may_begin_after_it_only(self, closed: httpx.AsyncClient) -> None:
        await key_of_new_tenant(closed, "acme")
        statuses = []
        for start in (LAST_MONTH, THIS_MONTH):
            discount = {"percent": "10", "effective_from": start.isoformat(), "reason": "volume"}
            answer = await closed.post("/v1/tenants/acme/discounts", json=[discount], headers=ADMIN)
            statuses.append(answer.status_code)
        assert statuses == [httpx.codes.UNPROCESSABLE_ENTITY, httpx.codes.OK]


class TestDiscounts:
    async def test_a_discount_is_on_the_statement_and_not_in_usage(self, used: httpx.AsyncClient) -> None:
        await key_of_new_tenant(used, "acme")
        discount = {
            "percent": "25",
            "segment": "think",
            "effective_from": LAST_MONTH.isoformat(),
            "reason": "volume",
        }
        await posted(used, "/v1/tenants/acme/discounts", discount)
        draft = await got(used, "/v1/statements/draft", tenant="acme", month=f"{LAST_MONTH:%Y-%m}")
        [line, rounding] = draft["lines"]
        assert (line["list_amount"], line["amount"], rounding["amount"]) == ("0.1", "0.075", "0.005")
        assert await cost_of_acme(used) == "0.1"

    async def test_a_new_one_ends_the_open_one(self, client: httpx.AsyncClient) -> None:
        await key_of_new_tenant(client, "acme")
        entries = [
            {"percent": percent, "effective_from": start.isoformat(), "reason": "volume"}
            for percent, start in (("10", THIS_MONTH), ("20", NEXT_MONTH))
        ]
        await posted(client, "/v1/tenants/acme/discounts", entries[0])
        done = await posted(client, "/v1/tenants/acme/discounts", entries[1])
        assert done == {"added": 1, "ended": 1, "unchanged": 0}
        listed = (await got(client, "/v1/tenants/acme/discounts"))["discounts"]
        assert listed[0]["effective_to"] == listed[1]["effective_from"]

    async def test_one_that_is_over_before_it_begins_is_named(self, client: httpx.AsyncClient) -> None:
        period = {"effective_from": THIS_MONTH.isoformat(), "effective_to": THIS_MONTH.isoformat()}
        entry = {"percent": "10", "reason": "volume", **period}
        answer = await client.post("/v1/tenants/acme/discounts", json=[entry], headers=ADMIN)
        assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        assert [each["field"] for each in answer.json()["errors"]] == ["[0].effective_to"]

    async def test_a_bad_one_is_named_and_none_is_added(self, client: httpx.AsyncClient) -> None:
        await key_of_new_tenant(client, "acme")
        entry = {"percent": "10", "effective_from": THIS_MONTH.isoformat(), "reason": "volume"}
        answer = await client.post(
            "/v1/tenants/acme/discounts", json=[entry, {**entry, "percent": "20"}], headers=ADMIN
        )
        assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        assert [error["field"] for error in answer.json()["errors"]] == ["[1].effective_from"]
        assert (await got(client, "/v1/tenants/acme/discounts"))["discounts"] == []

    async def test_a_tenant_reads_its_own_only(self, client: httpx.AsyncClient) -> None:
        key = await key_of_new_tenant(client, "acme")
        await key_of_new_tenant(client, "globex")
        statuses = [
            (await client.get(f"/v1/tenants/{name}/discounts", headers=key)).status_code for name in ("acme", "globex")
        ]
        assert statuses == [httpx.codes.OK, httpx.codes.FORBIDDEN]
