"""Who may call, and what happens while metering is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from kat.directory import ApiKey, Directory, Tenant, hash_api_key
from kat_predictor.errors import NotReady, Unauthorized
from kat_predictor.tenants import Tenants
from tests.fakes.clock import START, Clock
from tests.fakes.conditions import until
from tests.fakes.tenants import KEY_ID

KEY = "sk-kat-acme"


def directory(**key: Any) -> Directory:
    return Directory(
        tenants=[Tenant(id="acme", name="Acme")],
        keys=[ApiKey(**{"id": KEY_ID, "tenant": "acme", "sha256": hash_api_key(KEY), **key})],
    )


class Metering:
    """Answers GET /v1/directory as metering does."""

    def __init__(self) -> None:
        self.directory = directory()
        self.status: int | None = None
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.status is not None:
            return httpx.Response(self.status)
        body = self.directory.model_dump_json()
        etag = f'"{hash_api_key(body)}"'
        if request.headers.get("If-None-Match") == etag:
            return httpx.Response(304)
        return httpx.Response(200, content=body, headers={"ETag": etag})


@pytest.fixture
def metering() -> Metering:
    return Metering()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "directory.json"


@pytest.fixture
def new_tenants(metering: Metering, clock: Clock, path: Path) -> Callable[[], Tenants]:
    def make() -> Tenants:
        client = httpx.AsyncClient(transport=httpx.MockTransport(metering), base_url="http://metering")
        return Tenants(client=client, token=SecretStr("service"), path=path, refresh_seconds=0.001, now=clock.now)

    return make


@pytest.fixture
async def tenants(new_tenants: Callable[[], Tenants]) -> Tenants:
    tenants = new_tenants()
    await tenants.refresh()
    return tenants


async def test_a_known_key_names_its_tenant(tenants: Tenants) -> None:
    caller = tenants.authenticate(f"Bearer {KEY}")
    assert (caller.tenant.id, caller.key.id) == ("acme", KEY_ID)


@pytest.mark.parametrize("header", [f"bearer {KEY}", f"BEARER  {KEY} "])
async def test_the_scheme_is_read_as_http_demands(tenants: Tenants, header: str) -> None:
    assert tenants.authenticate(header).tenant.id == "acme"


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (None, "No API key was sent"),
        ("", "No API key was sent"),
        ("Bearer", "holds no bearer key"),
        ("Bearer  ", "holds no bearer key"),
        (KEY, "holds no bearer key"),
        (f"Basic {KEY}", "holds no bearer key"),
        ("Bearer sk-kat-other", "unknown or was revoked"),
        (f"Bearer {KEY.upper()}", "unknown or was revoked"),
        (f"Bearer {hash_api_key(KEY)}", "unknown or was revoked"),
        ("Bearer schlüssel", "unknown or was revoked"),
    ],
)
async def test_whoever_is_not_known_is_told_what_to_do(tenants: Tenants, header: str | None, complaint: str) -> None:
    with pytest.raises(Unauthorized, match=rf"{complaint}.*(Send|Check)"):
        tenants.authenticate(header)


async def test_the_complaint_does_not_repeat_the_key(tenants: Tenants) -> None:
    with pytest.raises(Unauthorized) as caught:
        tenants.authenticate("Bearer sk-kat-mistyped")
    assert "mistyped" not in str(caught.value)


async def test_an_expired_key_is_refused(tenants: Tenants, metering: Metering, clock: Clock) -> None:
    metering.directory = directory(expires_at=START + timedelta(minutes=1))
    await tenants.refresh()
    tenants.authenticate(f"Bearer {KEY}")
    clock.advance(60)
    with pytest.raises(Unauthorized, match="expired"):
        tenants.authenticate(f"Bearer {KEY}")


async def test_a_revoked_key_is_refused_after_the_next_refresh(tenants: Tenants, metering: Metering) -> None:
    metering.directory = Directory(tenants=[Tenant(id="acme", name="Acme")], keys=[])
    await tenants.refresh()
    with pytest.raises(Unauthorized, match="revoked"):
        tenants.authenticate(f"Bearer {KEY}")


async def test_a_key_whose_tenant_is_missing_is_unknown(tenants: Tenants, metering: Metering) -> None:
    metering.directory = Directory(tenants=[], keys=directory().keys)
    await tenants.refresh()
    with pytest.raises(Unauthorized):
        tenants.authenticate(f"Bearer {KEY}")


def test_nobody_is_known_before_a_directory_was_loaded(new_tenants: Callable[[], Tenants]) -> None:
    tenants = new_tenants()
    assert not tenants.ready
    with pytest.raises(NotReady):
        tenants.authenticate(f"Bearer {KEY}")


async def test_metering_is_asked_with_the_service_token(tenants: Tenants, metering: Metering) -> None:
    assert metering.requests[0].headers["Authorization"] == "Bearer service"


async def test_an_unchanged_directory_is_not_sent_again(tenants: Tenants, metering: Metering) -> None:
    assert not await tenants.refresh()
    assert "If-None-Match" in metering.requests[1].headers


async def test_a_changed_directory_is_taken_over(tenants: Tenants, metering: Metering) -> None:
    metering.directory = directory(project="search")
    assert await tenants.refresh()
    assert tenants.authenticate(f"Bearer {KEY}").key.project == "search"


async def test_the_copy_on_disk_serves_while_metering_is_away(
    tenants: Tenants, new_tenants: Callable[[], Tenants]
) -> None:
    after_restart = new_tenants()
    assert after_restart.load_copy()
    assert after_restart.authenticate(f"Bearer {KEY}").tenant.id == "acme"


def test_the_copy_is_readable_by_its_owner_alone(tenants: Tenants, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_copy_holds_no_key(tenants: Tenants, path: Path) -> None:
    assert KEY not in path.read_text()


def test_nothing_but_the_copy_is_left_in_its_folder(tenants: Tenants, path: Path) -> None:
    assert list(path.parent.iterdir()) == [path]


def test_without_a_copy_there_is_nothing_to_start_from(new_tenants: Callable[[], Tenants]) -> None:
    assert not new_tenants().load_copy()


@pytest.mark.parametrize("content", [b"", b"{", b'{"tenants": 3}', b"\xff\xfe"])
def test_a_damaged_copy_is_not_used(new_tenants: Callable[[], Tenants], path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    tenants = new_tenants()
    assert not tenants.load_copy()
    assert not tenants.ready


async def test_an_answer_that_is_no_directory_changes_nothing(new_tenants: Callable[[], Tenants]) -> None:
    tenants = new_tenants()
    await tenants.refresh()
    tenants._client = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, text="<html>")), base_url="http://metering"
    )
    with pytest.raises(ValidationError):
        await tenants.refresh()
    assert tenants.authenticate(f"Bearer {KEY}").tenant.id == "acme"


@pytest.mark.parametrize("status", [302, 401, 500, 503])
async def test_the_last_directory_serves_when_metering_refuses(
    tenants: Tenants, metering: Metering, status: int
) -> None:
    metering.status = status
    with pytest.raises(httpx.HTTPStatusError, match=str(status)):
        await tenants.refresh()
    assert tenants.authenticate(f"Bearer {KEY}").tenant.id == "acme"


async def test_refreshing_goes_on_after_a_failure(new_tenants: Callable[[], Tenants], metering: Metering) -> None:
    metering.status = 503
    tenants = new_tenants()
    refreshing = asyncio.create_task(tenants.run())
    try:
        await until(lambda: len(metering.requests) > 1)
        metering.status = None
        await until(lambda: tenants.ready)
    finally:
        refreshing.cancel()
