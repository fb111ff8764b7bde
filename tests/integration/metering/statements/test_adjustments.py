"""A closed statement is corrected by a credit on the next one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, got
from tests.fakes.statement_calls import (
    BEFORE,
    LAST,
    LAST_MONTH,
    MILLION_THOUGHTS,
    MONTH_BEFORE,
    THIS,
    CatchUp,
    close_it,
    kinds,
)
from tests.fakes.usage_events import an_event


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
