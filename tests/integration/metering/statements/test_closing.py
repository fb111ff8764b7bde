"""Statements over HTTP: drafted, closed, rounded, late usage."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import orjson
from sqlalchemy import Engine, text

from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, got
from tests.fakes.statement_calls import (
    BEFORE,
    LAST,
    LAST_MONTH,
    MILLION_THOUGHTS,
    MONTH_BEFORE,
    THIRD_OF_A_CENT,
    THIS,
    THIS_MONTH,
    CatchUp,
    close_it,
    closed,
    kinds,
)
from tests.fakes.usage_events import an_event


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
