"""Who gets into the console, what they see there, and what a page of another site can make them do."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, select

from kat_metering.store.tables import api_key
from tests.fakes.console_calls import form_token, key_of, signed_in
from tests.fakes.metering import ADMIN, ADMIN_TOKEN, SERVICE_TOKEN
from tests.fakes.metering_calls import deliver
from tests.fakes.usage_events import an_event

PAGES = ("", "usage", "keys", "budgets", "statements", "exports", "playground", "statements/draft")
SEE_OTHER = 303


@pytest.mark.parametrize("page", PAGES)
async def test_a_stranger_is_sent_to_sign_in(client: httpx.AsyncClient, page: str) -> None:
    """And comes back to the page asked for."""
    answer = await client.get(f"/console/{page}?from=2026-11-01")
    assert answer.status_code == SEE_OTHER
    assert (
        answer.headers["location"]
        == f"/console/sign-in?back_to=%2Fconsole%2F{page.replace('/', '%2F')}%3Ffrom%3D2026-11-01"
    )


async def test_signing_in_leads_back_to_the_page(client: httpx.AsyncClient) -> None:
    """The first page that was asked for, not the overview."""
    back = "/console/usage?from=2026-11-01"
    answer = await client.post("/console/sign-in", data={"token": ADMIN_TOKEN, "back_to": back})
    assert (answer.status_code, answer.headers["location"]) == (SEE_OTHER, back)


@pytest.mark.parametrize("token", ["", "nonsense", SERVICE_TOKEN, "sk-kat-" + "x" * 43, "ä" * 20, "a b", "t" * 5_000])
async def test_what_opens_nothing_is_refused(client: httpx.AsyncClient, token: str) -> None:
    """Unknown tokens, and those of predictors, which are for machines."""
    answer = await client.post("/console/sign-in", data={"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text


async def test_the_cookie_is_out_of_reach(client: httpx.AsyncClient) -> None:
    """Of scripts, of other sites, and, over https, of whoever listens."""
    answers = [
        await client.post(f"{scheme}://metering/console/sign-in", data={"token": ADMIN_TOKEN})
        for scheme in ("http", "https")
    ]
    plain, secure = (answer.headers["set-cookie"] for answer in answers)
    for part in ("HttpOnly", "SameSite=strict", "Path=/console", "Max-Age=43200"):
        assert part in plain
    assert ("Secure" in plain, "Secure" in secure) == (False, True)
    assert ADMIN_TOKEN not in plain


async def test_a_revoked_key_ends_its_sessions(client: httpx.AsyncClient) -> None:
    """At the next page."""
    key = await key_of(client, "acme")
    await signed_in(client, key["key"])
    assert (await client.get("/console/")).status_code == 200
    await client.delete(f"/v1/keys/{key['id']}", headers=ADMIN)
    assert (await client.get("/console/")).status_code == SEE_OTHER


async def test_a_session_ends_by_itself(serve: Any) -> None:
    """After the hours that the settings give it."""
    now = [datetime.now(UTC)]
    async with serve(clock=lambda: now[0], console_session_hours=1.0) as client:
        await signed_in(client, ADMIN_TOKEN)
        now[0] += timedelta(minutes=59)
        assert (await client.get("/console/")).status_code == 200
        now[0] += timedelta(minutes=2)
        assert (await client.get("/console/")).status_code == SEE_OTHER


async def test_replicas_share_sessions_by_their_secret(serve: Any) -> None:
    """Which replica answers makes no difference."""
    secret = SecretStr("a secret of the console of the tests")
    async with serve(console_secret=secret) as first:
        await signed_in(first, ADMIN_TOKEN)
        cookies = first.cookies
    async with serve(console_secret=secret) as second:
        second.cookies.update(cookies)
        assert (await second.get("/console/")).status_code == 200


async def test_signing_out_forgets_the_session(client: httpx.AsyncClient) -> None:
    """The cookie is gone."""
    await signed_in(client, ADMIN_TOKEN)
    token = await form_token(client)
    assert (await client.post("/console/sign-out", data={"form_token": token})).status_code == SEE_OTHER
    assert (await client.get("/console/")).status_code == SEE_OTHER


async def test_a_tenant_sees_its_own_alone(client: httpx.AsyncClient) -> None:
    """Neither usage nor names of others are on any page."""
    acme = await key_of(client, "acme")
    await key_of(client, "zeta")
    await deliver(
        client, an_event(tenant="zeta", model="model-of-zeta"), an_event(tenant="acme", model="model-of-acme")
    )
    await signed_in(client, acme["key"])
    for page in PAGES:
        answer = await client.get(f"/console/{page}")
        assert answer.status_code == 200, page
        assert "zeta" not in answer.text, page


@pytest.mark.parametrize(
    "path",
    [
        "?tenant=zeta",
        "usage?tenant=zeta",
        "keys?tenant=zeta",
        "budgets?tenant=zeta",
        "statements?tenant=zeta",
        "statements/draft?tenant=zeta",
        "exports?tenant=zeta",
        "exports/download?month=2026-10&tenant=zeta",
        "statements/KAT-000001",
        "statements/KAT-000001/document",
        "statements/KAT-000001/document?format=json",
    ],
)
async def test_another_tenants_pages_do_not_exist(
    client: httpx.AsyncClient, catch_up: Callable[[], object], path: str
) -> None:
    """They answer as a tenant that was never made does: 404."""
    acme = await key_of(client, "acme")
    await key_of(client, "zeta")
    last = datetime.now(UTC).replace(day=1) - timedelta(days=1)
    await deliver(client, an_event(tenant="zeta", at=last))
    catch_up()
    closed = await client.post("/v1/statements", json={"tenant": "zeta", "month": f"{last:%Y-%m}"}, headers=ADMIN)
    assert closed.status_code == 201, closed.text
    await signed_in(client, acme["key"])
    assert (await client.get(f"/console/{path}")).status_code == 404
    assert (await client.get("/console/?tenant=nobody")).status_code == 404


async def test_a_request_of_another_tenant_is_not_rated(client: httpx.AsyncClient) -> None:
    """To the playground it is one that has not come in yet."""
    acme = await key_of(client, "acme")
    mine, other = an_event(tenant="acme"), an_event(tenant="zeta")
    await deliver(client, mine, other)
    await signed_in(client, acme["key"])
    answers = [await client.get(f"/console/playground/requests/{event['id']}") for event in (mine, other)]
    assert [answer.status_code for answer in answers] == [200, 204]


@pytest.mark.parametrize("path", ["keys", "budgets", f"keys/{uuid4()}/revocation"])
async def test_tenants_change_nothing(client: httpx.AsyncClient, path: str) -> None:
    """To them, the addresses of an operator's forms do not exist."""
    acme = await key_of(client, "acme")
    await signed_in(client, acme["key"])
    token = await form_token(client)
    answer = await client.post(f"/console/{path}", data={"form_token": token, "tenant": "acme"})
    assert answer.status_code == 404


@pytest.mark.parametrize("token", [{}, {"form_token": ""}, {"form_token": "of another session"}])
async def test_a_form_of_another_site_changes_nothing(
    client: httpx.AsyncClient, engine: Engine, token: dict[str, str]
) -> None:
    """Without the session's own token in it, a form is refused."""
    key = await key_of(client, "acme")
    await signed_in(client, ADMIN_TOKEN)
    answer = await client.post(f"/console/keys/{key['id']}/revocation", data={"tenant": "acme", **token})
    assert answer.status_code == 403
    with engine.connect() as connection:
        assert connection.scalar(select(api_key.c.revoked_at)) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://metering"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_cannot_sign_somebody_in(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """Or a victim would work under an account of the attacker's choice."""
    answer = await client.post("/console/sign-in", data={"token": ADMIN_TOKEN}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/", "/console/nothing", "/console/static/console.css"])
async def test_every_answer_ties_the_browsers_hands(client: httpx.AsyncClient, path: str) -> None:
    """No inline code, no frames, no guessing of types; and nothing with data in it is kept."""
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
    assert headers["cache-control"] == ("no-cache" if "static" in path else "no-store")


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://metering"}, {"Sec-Fetch-Site": "same-origin", "Origin": "https://proxied"}]
)
async def test_a_page_of_our_own_signs_in(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """Also behind a proxy under another name."""
    answer = await client.post("/console/sign-in", data={"token": ADMIN_TOKEN}, headers=headers)
    assert answer.status_code == SEE_OTHER


async def test_https_before_a_proxy_counts(client: httpx.AsyncClient) -> None:
    """The cookie is for https alone where the browser came by https."""
    headers = {"X-Forwarded-Proto": "https"}
    answer = await client.post("/console/sign-in", data={"token": ADMIN_TOKEN}, headers=headers)
    assert "Secure" in answer.headers["set-cookie"]


async def test_errors_are_pages(client: httpx.AsyncClient) -> None:
    """For people, in their language, and not a problem for machines."""
    answer = await client.get("/console/nothing", headers={"Accept-Language": "zh-CN"})
    assert answer.status_code == 404
    assert re.search(r'<html lang="zh-Hans">.*未找到', answer.text, re.DOTALL)


async def test_the_console_is_not_in_the_api_document(client: httpx.AsyncClient) -> None:
    """Its pages are no interface."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert [path for path in paths if path.startswith("/console")] == []
