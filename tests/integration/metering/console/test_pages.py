"""The pages say what the API says, and their forms do what they say."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from sqlalchemy import Engine, update

from kat.processes import port_or_free
from kat_metering.console.wording import Language, catalogue
from kat_metering.store.statement_tables import statement
from tests.fakes.console_calls import form_token, key_of, signed_in
from tests.fakes.metering import ADMIN, ADMIN_TOKEN
from tests.fakes.metering_calls import deliver, got
from tests.fakes.usage_events import an_event

NOW = datetime.now(UTC)
LAST = (NOW.replace(day=1) - timedelta(days=1)).replace(day=15, hour=9, minute=30)
PAGES = ("", "usage", "keys", "budgets", "statements", "statements/draft", "exports", "playground")
CatchUp = Callable[[], object]


@pytest.fixture
async def operator(client: httpx.AsyncClient, catch_up: CatchUp) -> httpx.AsyncClient:
    """An operator's browser; two tenants have used something."""
    for tenant in ("acme", "zeta"):
        await key_of(client, tenant)
    await deliver(
        client,
        an_event(tenant="acme", at=LAST, mode="on"),
        an_event(tenant="acme", at=LAST + timedelta(hours=2), mode="off", project="search"),
        an_event(tenant="zeta", at=LAST, model="smollm2-135m", mode="off"),
    )
    catch_up()
    await signed_in(client, ADMIN_TOKEN)
    return client


def span(**more: str) -> dict[str, str]:
    return {"from": f"{LAST:%Y-%m-01}", "to": f"{LAST:%Y-%m-%d}", **more}


def cells(html: str) -> list[list[str]]:
    """The texts of the rows of all tables."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.DOTALL)
    texts = (
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in rows
    )
    return list(texts)


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("page", PAGES)
async def test_every_page_comes_in_every_language(operator: httpx.AsyncClient, page: str, language: Language) -> None:
    """With the navigation, one heading of the first rank, and a place to skip to."""
    await operator.get(f"/console/language/{language}")
    html = (await operator.get(f"/console/{page}", params=span())).raise_for_status().text
    assert f'<html lang="{language.html}">' in html
    assert catalogue(language)["nav.overview"] in html
    assert len(re.findall("<h1", html)) == 1
    assert 'id="main"' in html


@pytest.mark.parametrize("page", PAGES)
async def test_every_field_has_a_label(operator: httpx.AsyncClient, page: str) -> None:
    """A field is within its label, or the label names it."""
    html = (await operator.get(f"/console/{page}", params=span())).text
    labelled = set(re.findall(r'<label for="([^"]+)"', html))
    without_labels = re.sub(r"<label\b.*?</label>", "", html, flags=re.DOTALL)
    fields = re.findall(r"<(?:input|select|textarea)\b[^>]*>", without_labels)
    bare = [field for field in fields if 'type="hidden"' not in field]
    assert [field for field in bare if not any(f'id="{name}"' in field for name in labelled)] == []


async def test_the_overview_has_the_figures_of_the_api(operator: httpx.AsyncClient) -> None:
    """Requests, cost and savings of the same days."""
    html = (await operator.get("/console/", params=span())).text
    totals = (await got(operator, "/v1/usage", start=f"{LAST:%Y-%m-01}", end=f"{LAST + timedelta(days=1):%Y-%m-%d}"))[
        "totals"
    ]
    tiles = dict(re.findall(r"<dt>([^<]+?) ?(?:<span.*?)?</dt>\s*<dd>([^<]+)", html, re.DOTALL))
    assert tiles["Requests"] == f"{totals['requests']}" == "3"
    assert tiles["Think-on share"] == "33.3 %"
    assert Decimal(tiles["Cost"]) == round(Decimal(totals["cost"]), 7)


async def test_the_overview_of_a_tenant_is_of_it_alone(operator: httpx.AsyncClient) -> None:
    """An operator picks one; the others' rows are gone."""
    rows = cells((await operator.get("/console/", params=span(tenant="zeta"))).text)
    assert [row[:2] for row in rows if row[0] in {"KAT-V1-40B", "smollm2-135m"}] == [["smollm2-135m", "1"]]


async def test_without_usage_the_overview_says_so(client: httpx.AsyncClient) -> None:
    """And draws no chart of nothing."""
    await signed_in(client, ADMIN_TOKEN)
    html = (await client.get("/console/")).text
    assert "No requests in this time" in html
    assert "<svg" not in html


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ({"group": "mode"}, [["Think-off", "2"], ["Think-on", "1"]]),
        ({"group": "project"}, [["default", "2"], ["search", "1"]]),
        ({"group": "tenant", "mode": "off"}, [["acme", "1"], ["zeta", "1"]]),
        ({"group": "model", "project": "search"}, [["KAT-V1-40B", "1"]]),
        ({"group": "mode", "tenant": "zeta"}, [["Think-off", "1"]]),
        ({"group": "api_key_id", "model": "smollm2-135m"}, [["none", "1"]]),
    ],
)
async def test_the_explorer_groups_and_filters(
    operator: httpx.AsyncClient, asked: dict[str, str], rows: list[list[str]]
) -> None:
    """A row for each group of each day."""
    html = (await operator.get("/console/usage", params=span(**asked))).text
    found = [row[1:3] for row in cells(html) if row[0] == f"{LAST:%Y-%m-%d}"]
    assert sorted(found) == rows


async def test_the_explorer_goes_down_to_hours(operator: httpx.AsyncClient) -> None:
    """Each hour that was used has a row of its own, each hour of the time a bar."""
    day = f"{LAST:%Y-%m-%d}"
    asked = {"from": day, "to": day, "interval": "hour", "group": "", "measure": "requests"}
    html = (await operator.get("/console/usage", params=asked)).text
    assert [row[:2] for row in cells(html) if row[0].startswith(day)] == [[f"{day} 09:00", "2"], [f"{day} 11:00", "1"]]
    drawn = re.search(r"<svg.*?</svg>", html, re.DOTALL)
    assert drawn
    assert [title.text for title in ET.fromstring(drawn[0]).iter("title")][9] == f"{LAST:%m-%d} 09:00 · Everything: 2"


async def test_the_total_of_the_explorer_is_that_of_its_rows(operator: httpx.AsyncClient) -> None:
    """Of the rows that passed the filters."""
    html = (await operator.get("/console/usage", params=span(group="project", model="KAT-V1-40B"))).text
    assert next(row for row in cells(html) if row[0] == "Total")[1] == "2"


@pytest.mark.parametrize(
    "asked",
    [
        {"from": "nonsense"},
        {"group": "colour"},
        {"interval": "hour", "from": "2026-01-01", "to": "2026-03-01"},
        {"measure": "weight"},
    ],
)
async def test_a_question_that_cannot_be_is_answered_by_a_page(
    operator: httpx.AsyncClient, asked: dict[str, str]
) -> None:
    """It names the field."""
    answer = await operator.get("/console/usage", params=asked)
    assert answer.status_code == 422
    assert "That does not fit" in answer.text


async def test_an_issued_key_is_shown_once_and_works(operator: httpx.AsyncClient) -> None:
    """In the answer to the form, and on no page after it."""
    fields = {"form_token": await form_token(operator), "tenant": "acme", "name": "<b>batch</b>", "project": "nightly"}
    issued = await operator.post("/console/keys", data=fields)
    key = re.search(r"sk-kat-[\w-]{43}", issued.text)
    assert key
    assert (await operator.get("/v1/usage", headers={"Authorization": f"Bearer {key[0]}"})).status_code == 200
    later = (await operator.get("/console/keys?tenant=acme")).text
    assert key[0] not in later
    assert "&lt;b&gt;batch&lt;/b&gt;" in later


async def test_a_key_may_end_and_have_a_budget(operator: httpx.AsyncClient) -> None:
    """It is good through the day that the form names."""
    day = (NOW + timedelta(days=7)).date()
    fields = {"tenant": "acme", "name": "short", "expires": f"{day}", "monthly_budget": "3.5"}
    await operator.post("/console/keys", data={**fields, "form_token": await form_token(operator)})
    key = (await got(operator, "/v1/tenants/acme/keys"))["keys"][-1]
    assert datetime.fromisoformat(key["expires_at"]) == datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(
        days=1
    )
    assert Decimal(key["monthly_budget"]) == Decimal("3.5")


@pytest.mark.parametrize(
    "bad", [{"expires": "soon"}, {"expires": "9999-12-31"}, {"expires": "2020-01-01"}, {"monthly_budget": "x"}]
)
async def test_a_key_that_cannot_be_is_refused(operator: httpx.AsyncClient, bad: dict[str, str]) -> None:
    """None is made."""
    answer = await operator.post(
        "/console/keys", data={"tenant": "acme", "form_token": await form_token(operator), **bad}
    )
    assert answer.status_code == 422
    assert len((await got(operator, "/v1/tenants/acme/keys"))["keys"]) == 1


async def test_a_key_is_revoked_by_its_form(operator: httpx.AsyncClient) -> None:
    """The page then says so, and offers it no more."""
    [key] = (await got(operator, "/v1/tenants/acme/keys"))["keys"]
    fields = {"form_token": await form_token(operator), "tenant": "acme"}
    answer = await operator.post(f"/console/keys/{key['id']}/revocation", data=fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/keys?tenant=acme")
    [row] = [
        row for row in cells((await operator.get("/console/keys?tenant=acme")).text) if row[0].startswith("sk-kat")
    ]
    assert row[-2:] == ["Revoked", ""]


async def test_a_budget_is_changed_by_its_form(operator: httpx.AsyncClient) -> None:
    """An empty field takes the limit away."""
    await operator.patch("/v1/tenants/acme", json={"limits": {"concurrency": 5}}, headers=ADMIN)
    fields = {"tenant": "acme", "monthly_budget": "12.50", "think_off_percent": "75", "mode_policy": "off"}
    more = {
        "requests_per_minute": "60",
        "tokens_per_minute": "",
        "concurrency": "",
        "form_token": await form_token(operator),
    }
    assert (await operator.post("/console/budgets", data=fields | more)).status_code == 303
    tenant = await got(operator, "/v1/tenants/acme")
    assert (Decimal(tenant["monthly_budget"]), Decimal(tenant["think_off_at"])) == (Decimal("12.5"), Decimal("0.75"))
    assert tenant["mode_policy"] == "off"
    assert tenant["limits"] == {"requests_per_minute": 60, "tokens_per_minute": None, "concurrency": None}


@pytest.mark.parametrize(
    "bad", [{"monthly_budget": "-1"}, {"think_off_percent": "much"}, {"concurrency": "0"}, {"tenant": "a\x00b"}]
)
async def test_a_budget_that_cannot_be_is_refused(operator: httpx.AsyncClient, bad: dict[str, str]) -> None:
    """Nothing of the form is taken."""
    fields = {"tenant": "acme", "monthly_budget": "5", "think_off_percent": "75", "mode_policy": "auto"}
    answer = await operator.post("/console/budgets", data={**fields, "form_token": await form_token(operator), **bad})
    assert answer.status_code == 422
    assert (await got(operator, "/v1/tenants/acme"))["monthly_budget"] is None


async def test_statements_are_listed_shown_and_verified(operator: httpx.AsyncClient) -> None:
    """As the API has them, to the byte where a machine takes them."""
    await _closed(operator)
    assert "KAT-000001" in (await operator.get("/console/statements?tenant=acme")).text
    page = (await operator.get("/console/statements/KAT-000001")).text
    assert "Content matches its hash" in page
    document = await operator.get("/console/statements/KAT-000001/document?format=json")
    assert document.content == (await operator.get("/v1/statements/KAT-000001", headers=ADMIN)).content
    assert document.headers["content-disposition"] == 'attachment; filename="KAT-000001.json"'
    verified = (await operator.get("/console/statements?verify=true")).text
    assert "Every statement is as it was closed" in verified


async def test_a_statement_that_was_changed_is_found_out(operator: httpx.AsyncClient, engine: Engine) -> None:
    """On its own page, and by the check of all."""
    await _closed(operator)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE statement DISABLE TRIGGER USER")
        connection.execute(update(statement).values(sha256="f" * 64))
    assert "Content does not match its hash" in (await operator.get("/console/statements/KAT-000001")).text
    assert "Some statements are not as they were closed" in (await operator.get("/console/statements?verify=true")).text


async def test_an_export_is_that_of_the_api(operator: httpx.AsyncClient) -> None:
    """The download has the same bytes."""
    asked = {"month": f"{LAST:%Y-%m}", "tenant": "acme", "format": "csv"}
    file = await operator.get("/console/exports/download", params=asked)
    assert file.content == (await operator.get("/v1/exports/usage", params=asked, headers=ADMIN)).content
    assert file.headers["content-disposition"].startswith("attachment")


async def test_an_export_of_nobody_is_told_as_such(operator: httpx.AsyncClient) -> None:
    """The formats by request need a tenant."""
    answer = await operator.get(
        "/console/exports/download", params={"month": f"{LAST:%Y-%m}", "tenant": "", "format": "csv"}
    )
    assert answer.status_code == 422
    assert "tenant: is needed" in answer.text


async def test_the_language_is_remembered(operator: httpx.AsyncClient) -> None:
    """And precedes what the browser asks for; the switch leads back to the page."""
    chosen = await operator.get("/console/language/zh?back_to=/console/keys")
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/console/keys")
    assert "概览" in (await operator.get("/console/", headers={"Accept-Language": "en"})).text


async def test_an_operators_change_is_in_the_audit(operator: httpx.AsyncClient) -> None:
    """As any change over the API is."""
    fields = {"form_token": await form_token(operator), "tenant": "acme", "name": "audited", "project": "default"}
    await operator.post("/console/keys", data=fields)
    assert "audited" in str(await got(operator, "/v1/audit"))


async def _closed(client: httpx.AsyncClient) -> None:
    month = {"tenant": "acme", "month": f"{LAST:%Y-%m}"}
    answer = await client.post("/v1/statements", json=month, headers=ADMIN)
    assert answer.status_code == 201, answer.text


async def test_a_predictor_that_is_away_is_told(serve: Any) -> None:
    """By the page, and in the stream of an answer that was asked for meanwhile."""
    async with serve(predictor_url=f"http://127.0.0.1:{port_or_free(0)}") as client:
        key = await key_of(client, "acme")
        await signed_in(client, key["key"])
        assert "The predictor does not answer" in (await client.get("/console/playground")).text
        headers = {"X-Form-Token": await form_token(client)}
        answer = await client.post("/console/playground/answers", json={"model": "m", "prompt": "p"}, headers=headers)
        assert answer.text == 'data: {"error":{"code":"unreachable"}}\n\n'


@pytest.mark.parametrize(
    "bad",
    [
        {"prompt": ""},
        {"model": ""},
        {"max_tokens": 0},
        {"mode": "perhaps"},
        {"messages": []},
        {"prompt": "p" * 100_001},
    ],
)
async def test_a_question_that_cannot_be_is_not_passed_on(operator: httpx.AsyncClient, bad: dict[str, Any]) -> None:
    """The predictor is asked for nothing but a prompt, a mode and a limit."""
    headers = {"X-Form-Token": await form_token(operator)}
    question = {"model": "m", "prompt": "p", **bad}
    assert (await operator.post("/console/playground/answers", json=question, headers=headers)).status_code == 422


async def test_without_a_predictor_there_is_no_playground(operator: httpx.AsyncClient) -> None:
    """The page says what to set, and answers no question."""
    assert "KAT_PREDICTOR_URL" in (await operator.get("/console/playground")).text
    question: dict[str, Any] = {"model": "m", "prompt": "p"}
    headers = {"X-Form-Token": await form_token(operator)}
    assert (await operator.post("/console/playground/answers", json=question, headers=headers)).status_code == 404
