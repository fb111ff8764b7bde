"""Statements over HTTP: lists, pages for people, and questions that make no sense."""

from __future__ import annotations

from typing import Any

import httpx
import orjson

from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, got
from tests.fakes.statement_calls import (
    LAST,
    LAST_MONTH,
    MILLION_THOUGHTS,
    THIS_MONTH,
    CatchUp,
    close_it,
)
from tests.fakes.usage_events import an_event


async def test_statements_are_listed_page_by_page(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    tenants = ["a", "b", "c", "d", "e"]
    await deliver(client, *(an_event(tenant=each, at=LAST_MONTH, tokens=MILLION_THOUGHTS) for each in tenants))
    catch_up()
    for each in tenants:
        await close_it(client, tenant=each)
    page = await got(client, "/v1/statements", limit="2")
    seen = [each["tenant"] for each in page["statements"]]
    while page["next"] is not None:
        page = await got(client, "/v1/statements", limit="2", after=page["next"])
        seen += [each["tenant"] for each in page["statements"]]
    assert seen == tenants


async def test_tenants_are_due_until_their_month_is_closed(used: httpx.AsyncClient, catch_up: CatchUp) -> None:
    await deliver(used, an_event(tenant="globex", at=LAST_MONTH), an_event(tenant="initech", at=THIS_MONTH))
    catch_up()
    assert (await got(used, "/v1/statements/due", month=LAST))["tenants"] == ["acme", "globex"]
    await close_it(used)
    assert (await got(used, "/v1/statements/due", month=LAST))["tenants"] == ["globex"]


async def test_the_page_of_a_statement_runs_nothing_and_names_its_hash(used: httpx.AsyncClient) -> None:
    made = await used.post("/v1/tenants", json={"id": "acme", "name": "<script>alert(1)</script>"}, headers=ADMIN)
    assert made.status_code == httpx.codes.CREATED
    await close_it(used)
    page = await used.get("/v1/statements/KAT-000001", params={"format": "html"}, headers=ADMIN)
    [listed] = (await got(used, "/v1/statements"))["statements"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert listed["sha256"] in page.text
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text


ODD_QUESTIONS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/statements?tenant=%00", None),
    ("GET", "/v1/statements?after=nothing", None),
    ("GET", "/v1/statements?after=%00-000001", None),
    ("GET", "/v1/statements?limit=0", None),
    ("GET", "/v1/statements/KAT-1", None),
    ("GET", "/v1/statements/KAT-\u0661\u0661\u0661\u0661\u0661\u0661", None),
    ("GET", "/v1/statements/KAT-99999999999999999999", None),
    ("GET", "/v1/statements/KAT-999999999999999999", None),
    ("GET", "/v1/statements/KAT-000001?format=pdf", None),
    ("GET", "/v1/statements/draft", None),
    ("GET", "/v1/statements/draft?tenant=acme&month=2026-13", None),
    ("GET", "/v1/statements/draft?tenant=acme&month=0000-01", None),
    ("GET", "/v1/statements/draft?tenant=%00", None),
    ("GET", "/v1/statements/due?month=9999-12", None),
    ("GET", "/v1/statements/due", None),
    ("GET", "/v1/statements/verification?sha256=x", None),
    ("POST", "/v1/statements", {}),
    ("POST", "/v1/statements", {"tenant": "\x00", "month": "2026-01"}),
    ("POST", "/v1/statements", {"tenant": "acme", "month": "9998-12"}),
    ("POST", "/v1/statements", {"tenant": "acme", "month": "2026-01", "unpriced_reason": "\x00"}),
    ("POST", "/v1/statements/KAT-000001/adjustments", {"credit": "1e400", "reason": "r"}),
    ("POST", "/v1/statements/KAT-000001/adjustments", {"credit": "1", "reason": " "}),
    ("GET", "/v1/tenants/%00/discounts", None),
    ("POST", "/v1/tenants/%00/discounts", [{"percent": "1", "effective_from": "2027-01-01T00:00Z", "reason": "r"}]),
    ("POST", "/v1/tenants/nobody/discounts", [{"percent": "1", "effective_from": "2027-01-01T00:00Z", "reason": "r"}]),
    ("POST", "/v1/tenants/acme/discounts", []),
    ("POST", "/v1/tenants/acme/discounts", [{"percent": "NaN", "effective_from": "2027-01-01T00:00Z", "reason": "r"}]),
    ("POST", "/v1/tenants/acme/discounts", [{"percent": 1, "effective_from": "0001-01-01T00:00+14:00", "reason": "r"}]),
    ("POST", "/v1/tenants/acme/discounts", [{"percent": 1, "effective_from": "9999-12-31T23:00-10:00", "reason": "r"}]),
    ("POST", "/v1/prices/rerate", {"prices": [{"mode": []}]}),
    ("POST", "/v1/prices/diff?rerate=maybe", []),
]


async def test_odd_questions_are_the_askers_fault(used: httpx.AsyncClient) -> None:
    """One service for all of them: starting it takes longer than they do."""
    answered = {}
    for method, path, body in ODD_QUESTIONS:
        content = None if body is None else orjson.dumps(body)
        answer = await used.request(
            method, path, content=content, headers={**ADMIN, "Content-Type": "application/json"}
        )
        answered[method, path, str(body)] = answer.status_code
    assert {asked: status for asked, status in answered.items() if status not in range(400, 500)} == {}
