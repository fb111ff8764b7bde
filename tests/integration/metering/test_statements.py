"""Statements over HTTP: drafted, closed, late usage, adjustments, who sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from kat_metering.store.engine import reading
from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, got, key_of_new_tenant
from tests.fakes.usage_events import an_event

CatchUp = Callable[[], Any]

THIS_MONTH = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
LAST_MONTH = (THIS_MONTH - timedelta(days=1)).replace(day=1)
MONTH_BEFORE = (LAST_MONTH - timedelta(days=1)).replace(day=1)
LAST, BEFORE, THIS = (f"{month:%Y-%m}" for month in (LAST_MONTH, MONTH_BEFORE, THIS_MONTH))

# At the default prices: prompt 0.04, the others 0.10 USD per million.
MILLION_THOUGHTS = {"think": 1_000_000}
THIRD_OF_A_CENT = {"think": 33_333}


async def closed(client: httpx.AsyncClient, month: str = LAST, tenant: str = "acme", **more: Any) -> httpx.Response:
    return await client.post("/v1/statements", json={"tenant": tenant, "month": month, **more}, headers=ADMIN)


async def close_it(client: httpx.AsyncClient, month: str = LAST, tenant: str = "acme", **more: Any) -> dict[str, Any]:
    answer = await closed(client, month, tenant, **more)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    statement: dict[str, Any] = answer.json()
    return statement


def kinds(statement: dict[str, Any]) -> list[str]:
    return [line["kind"] for line in statement["lines"]]


@pytest.fixture
async def used(client: httpx.AsyncClient, catch_up: CatchUp) -> httpx.AsyncClient:
    """A service where acme thought a million tokens last month."""
    await deliver(client, an_event(at=LAST_MONTH + timedelta(days=3), tokens=MILLION_THOUGHTS))
    catch_up()
    return client


async def test_a_closed_month_has_a_number_a_total_and_lines_that_add_up_to_it(used: httpx.AsyncClient) -> None:
    statement = await close_it(used)
    assert (statement["series"], statement["number"], statement["total"]) == ("KAT", 1, "0.1")
    [line] = statement["lines"]
    assert line == {
        "kind": "usage",
        "month": LAST,
        "model": "KAT-V1-40B",
        "mode": "on",
        "segment": "think",
        "tokens": 1_000_000,
        "per_million": "0.1",
        "list_amount": "0.1",
        "discount_percent": "0",
        "amount": "0.1",
    }


async def test_a_statement_says_what_its_draft_said(used: httpx.AsyncClient) -> None:
    draft = await got(used, "/v1/statements/draft", tenant="acme", month=LAST)
    statement = await close_it(used)
    assert {name: statement[name] for name in draft if name != "as_of"} == {
        name: draft[name] for name in draft if name != "as_of"
    }


async def test_the_json_of_a_statement_is_the_document_that_was_hashed(used: httpx.AsyncClient) -> None:
    await close_it(used)
    answer = await used.get("/v1/statements/KAT-000001", headers=ADMIN)
    [listed] = (await got(used, "/v1/statements"))["statements"]
    sha256 = hashlib.sha256(answer.content).hexdigest()
    assert (answer.headers["ETag"], listed["sha256"]) == (f'"{sha256}"', sha256)
    assert orjson.dumps(answer.json(), option=orjson.OPT_SORT_KEYS) == answer.content


async def test_each_statement_holds_the_hash_of_the_one_before(used: httpx.AsyncClient, catch_up: CatchUp) -> None:
    await deliver(used, an_event(tenant="globex", at=LAST_MONTH, tokens=MILLION_THOUGHTS))
    catch_up()
    first, second = await close_it(used), await close_it(used, tenant="globex")
    shown = await used.get("/v1/statements/KAT-000001", headers=ADMIN)
    assert first["previous_sha256"] == "0" * 64
    assert second["previous_sha256"] == hashlib.sha256(shown.content).hexdigest()


async def test_usage_that_arrives_late_is_a_line_of_the_next_statement_naming_its_month(
    used: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    await close_it(used)
    await deliver(used, an_event(at=LAST_MONTH + timedelta(days=3), tokens={"think": 5, "answer": 7}))
    catch_up()
    draft = await got(used, "/v1/statements/draft", tenant="acme", month=THIS)
    late = [line for line in draft["lines"] if line["kind"] == "late_usage"]
    assert [(line["month"], line["segment"], line["tokens"]) for line in late] == [
        (LAST, "think", 5),
        (LAST, "answer", 7),
    ]


async def test_late_usage_changes_nothing_of_the_closed_statement(used: httpx.AsyncClient, catch_up: CatchUp) -> None:
    await close_it(used)
    before = (await used.get("/v1/statements/KAT-000001", headers=ADMIN)).content
    await deliver(used, an_event(at=LAST_MONTH + timedelta(days=3), tokens=MILLION_THOUGHTS))
    catch_up()
    assert (await used.get("/v1/statements/KAT-000001", headers=ADMIN)).content == before
    assert (await closed(used)).status_code == httpx.codes.CONFLICT


async def test_a_month_is_closed_after_the_months_before_it(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    await deliver(client, *(an_event(at=month, tokens=MILLION_THOUGHTS) for month in (MONTH_BEFORE, LAST_MONTH)))
    catch_up()
    refused = await closed(client, LAST)
    assert (refused.status_code, refused.json()["detail"].split(":")[0]) == (409, f"Close {BEFORE} first")
    assert [(await close_it(client, month))["number"] for month in (BEFORE, LAST)] == [1, 2]


async def test_a_month_that_is_not_over_is_not_closed(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    await deliver(client, an_event())
    catch_up()
    assert (await closed(client, f"{datetime.now(UTC):%Y-%m}")).json()["detail"].endswith("is not over.")


async def test_a_month_is_not_closed_before_usage_is_rolled_up_to_its_end(
    serve: Any, engine: Engine, catch_up: CatchUp
) -> None:
    async with serve(rollup_interval_seconds=3600) as client:
        await deliver(client, an_event(at=LAST_MONTH, tokens=MILLION_THOUGHTS))
        catch_up()
        with engine.begin() as connection:
            connection.execute(text("UPDATE rollup_state SET as_of = :then"), {"then": THIS_MONTH - timedelta(hours=1)})
        assert "rolled up to" in (await closed(client)).json()["detail"]


async def test_a_month_with_nothing_in_it_has_no_statement(client: httpx.AsyncClient) -> None:
    assert (await closed(client)).status_code == httpx.codes.NOT_FOUND


class TestRounding:
    async def test_the_total_is_rounded_and_the_difference_is_a_line(
        self, client: httpx.AsyncClient, catch_up: CatchUp
    ) -> None:
        await deliver(client, an_event(at=LAST_MONTH, tokens=THIRD_OF_A_CENT))
        catch_up()
        statement = await close_it(client)
        assert (statement["total"], kinds(statement)) == ("0", ["usage", "rounding"])
        assert sum(Decimal(line["amount"]) for line in statement["lines"]) == 0

    async def test_what_rounding_took_is_given_back_by_the_next_statement(
        self, client: httpx.AsyncClient, catch_up: CatchUp
    ) -> None:
        await deliver(client, *(an_event(at=at, tokens=THIRD_OF_A_CENT) for at in (MONTH_BEFORE, LAST_MONTH)))
        catch_up()
        first, second = await close_it(client, BEFORE), await close_it(client, LAST)
        [carried] = [line for line in second["lines"] if line["kind"] == "carried"]
        assert (carried["statement"], carried["amount"]) == ("KAT-000001", "0.0033333")
        assert Decimal(first["total"]) + Decimal(second["total"]) == Decimal("0.01")


class TestUnpriced:
    @pytest.fixture
    async def mystery(self, used: httpx.AsyncClient, catch_up: CatchUp) -> httpx.AsyncClient:
        await deliver(used, an_event(model="mystery", at=LAST_MONTH, tokens={"answer": 12}))
        catch_up()
        return used

    async def test_usage_without_a_price_is_named_and_keeps_the_month_open(self, mystery: httpx.AsyncClient) -> None:
        answer = await closed(mystery)
        assert answer.status_code == httpx.codes.CONFLICT
        [error] = answer.json()["errors"]
        assert error == {"field": "unpriced[0]", "message": f"12 tokens of mystery / answer / mode on in {LAST}"}

    async def test_with_a_reason_it_is_closed_and_states_both(self, mystery: httpx.AsyncClient) -> None:
        statement = await close_it(mystery, unpriced_reason="a trial")
        assert statement["unpriced_reason"] == "a trial"
        assert statement["unpriced"] == [
            {"month": LAST, "model": "mystery", "mode": "on", "segment": "answer", "tokens": 12}
        ]

    async def test_a_reason_does_not_cover_what_was_not_known_when_it_was_given(
        self, client: httpx.AsyncClient, catch_up: CatchUp
    ) -> None:
        await deliver(client, *(an_event(at=at, model="mystery") for at in (MONTH_BEFORE, LAST_MONTH)))
        catch_up()
        await close_it(client, BEFORE, unpriced_reason="a trial")
        assert (await closed(client, LAST)).status_code == httpx.codes.CONFLICT
        await close_it(client, LAST, unpriced_reason="goes on")
        draft = await got(client, "/v1/statements/draft", tenant="acme", month=THIS)
        assert {each["month"] for each in draft["unpriced"]} == {BEFORE, LAST}

    async def test_what_was_stated_without_a_price_needs_no_reason_again(
        self, client: httpx.AsyncClient, catch_up: CatchUp
    ) -> None:
        await deliver(
            client,
            an_event(at=MONTH_BEFORE, model="mystery", tokens={"answer": 12}),
            an_event(at=LAST_MONTH, tokens=MILLION_THOUGHTS),
        )
        catch_up()
        await close_it(client, BEFORE, unpriced_reason="a trial")
        statement = await close_it(client, LAST)
        assert (statement["unpriced_reason"], statement["unpriced"][0]["month"]) == ("a trial", BEFORE)

    async def test_once_it_has_a_price_the_next_statement_bills_it(self, mystery: httpx.AsyncClient) -> None:
        await close_it(mystery, unpriced_reason="a trial")
        entry = {
            "model": "mystery",
            "segment": "answer",
            "per_million": "250000",
            "currency": "USD",
            "effective_from": LAST_MONTH.isoformat(),
            "basis": "compute",
            "source": "a contract",
            "source_date": "2026-01-01",
        }
        assert (await mystery.post("/v1/prices", json=[entry], headers=ADMIN)).status_code == httpx.codes.OK
        draft = await got(mystery, "/v1/statements/draft", tenant="acme", month=THIS)
        assert [(line["kind"], line["month"], line["amount"]) for line in draft["lines"]] == [("late_usage", LAST, "3")]


class TestAdjustments:
    async def test_a_credit_is_a_line_of_the_next_statement_that_names_what_it_corrects(
        self, used: httpx.AsyncClient
    ) -> None:
        await close_it(used)
        made = await used.post(
            "/v1/statements/KAT-000001/adjustments", json={"credit": "0.04", "reason": "slow day"}, headers=ADMIN
        )
        assert made.status_code == httpx.codes.CREATED, made.text
        draft = await got(used, "/v1/statements/draft", tenant="acme", month=THIS)
        [line] = draft["lines"]
        assert (line["kind"], line["corrects"], line["reason"]) == ("credit", "KAT-000001", "slow day")
        assert (line["amount"], draft["total"]) == ("-0.04", "-0.04")

    async def test_a_credit_is_a_line_of_one_statement_only(self, serve: Any, catch_up: CatchUp) -> None:
        now = datetime.now(UTC)
        async with serve(clock=lambda: now, rollup_interval_seconds=3600) as client:
            await deliver(client, *(an_event(at=at, tokens=MILLION_THOUGHTS) for at in (MONTH_BEFORE, LAST_MONTH)))
            catch_up()
            await close_it(client, BEFORE)
            credit = {"credit": "0.04", "reason": "slow day"}
            await client.post("/v1/statements/KAT-000001/adjustments", json=credit, headers=ADMIN)
            statement = await close_it(client, LAST)
            assert (kinds(statement), statement["total"]) == (["usage", "credit"], "0.06")
            await deliver(client, an_event(at=LAST_MONTH, tokens=MILLION_THOUGHTS))
            catch_up()
            draft = await got(client, "/v1/statements/draft", tenant="acme", month=THIS)
            assert kinds(draft) == ["late_usage"]

    @pytest.mark.parametrize("credit", ["0.11", "0", "-1", "NaN"])
    async def test_a_credit_is_positive_and_at_most_what_was_owed(self, used: httpx.AsyncClient, credit: str) -> None:
        await close_it(used)
        answer = await used.post(
            "/v1/statements/KAT-000001/adjustments", json={"credit": credit, "reason": "r"}, headers=ADMIN
        )
        assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        assert [error["field"] for error in answer.json()["errors"]] == ["credit"]

    async def test_an_unknown_statement_is_not_adjusted(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(
            "/v1/statements/KAT-000009/adjustments", json={"credit": "1", "reason": "r"}, headers=ADMIN
        )
        assert answer.status_code == httpx.codes.NOT_FOUND


class TestIsolation:
    @pytest.fixture
    async def keys(self, used: httpx.AsyncClient) -> dict[str, dict[str, str]]:
        """Keys of acme, which has a statement with a credit, and of globex, which has none."""
        await close_it(used)
        credit = {"credit": "0.04", "reason": "slow day"}
        await used.post("/v1/statements/KAT-000001/adjustments", json=credit, headers=ADMIN)
        return {name: await key_of_new_tenant(used, name) for name in ("acme", "globex")}

    async def test_a_tenant_sees_its_statements(self, used: httpx.AsyncClient, keys: Any) -> None:
        assert len((await got(used, "/v1/statements", keys["acme"]))["statements"]) == 1
        assert (await got(used, "/v1/statements/KAT-000001", keys["acme"]))["tenant"] == "acme"
        assert (await got(used, "/v1/statements/draft", keys["acme"]))["total"] == "-0.04"

    async def test_a_tenant_sees_no_other_tenants_statements(self, used: httpx.AsyncClient, keys: Any) -> None:
        assert (await got(used, "/v1/statements", keys["globex"]))["statements"] == []
        for path, status in {
            "/v1/statements/KAT-000001": httpx.codes.NOT_FOUND,
            "/v1/statements?tenant=acme": httpx.codes.FORBIDDEN,
            "/v1/statements/draft?tenant=acme": httpx.codes.FORBIDDEN,
        }.items():
            assert (await used.get(path, headers=keys["globex"])).status_code == status, path

    @pytest.mark.parametrize("table", ["statement", "statement_usage", "adjustment", "discount"])
    async def test_postgres_shows_a_tenant_its_own_rows_only(
        self, used: httpx.AsyncClient, keys: Any, engine: Engine, table: str
    ) -> None:
        discount = {"percent": "10", "effective_from": THIS_MONTH.isoformat(), "reason": "volume"}
        answer = await used.post("/v1/tenants/acme/discounts", json=[discount], headers=ADMIN)
        assert answer.status_code == httpx.codes.OK, answer.text
        counted = {}
        for name in ("acme", "globex"):
            with reading(engine, name) as connection:
                counted[name] = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        assert counted == {"acme": 1, "globex": 0}


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


CHANGES = [
    "UPDATE statement SET total = 0",
    "DELETE FROM statement",
    "TRUNCATE statement CASCADE",
    "UPDATE statement_usage SET think = 0",
    "DELETE FROM statement_usage",
    "TRUNCATE statement_usage",
    "INSERT INTO statement_usage SELECT series, number, tenant, hour + interval '1 h', model, mode, 1, 1, 1, 1, 1, 1 FROM statement_usage",
]


@pytest.mark.parametrize("change", CHANGES)
async def test_postgres_refuses_every_change_of_what_is_closed(
    used: httpx.AsyncClient, engine: Engine, change: str
) -> None:
    await close_it(used)
    with engine.connect() as connection, pytest.raises(DBAPIError, match="what is closed never changes"):
        connection.execute(text(change))


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
