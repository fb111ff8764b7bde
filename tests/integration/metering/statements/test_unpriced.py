"""Usage without a price is stated, and billed once it has one."""

from __future__ import annotations

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
    closed,
)
from tests.fakes.usage_events import an_event


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
