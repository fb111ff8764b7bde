"""What is known of the API server's objects, whatever happens to the watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from kat_operator.cache import Body, Cache
from kat_operator.connection import Connection
from kat_operator.kinds import SERVICE, Key
from tests.fakes.conditions import until
from tests.fakes.kubernetes_api import FakeApi, connected

ROOT = "/api/v1/services"


def a_service(name: str, *, owner: str = "kat", port: int = 80) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": name, "labels": {"owner": owner}, "managedFields": [{"manager": "x"}]}
    return {"metadata": metadata, "spec": {"port": port}}


def owner_of(body: Body) -> Key | None:
    return Key("default", body["metadata"]["labels"]["owner"])


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    api.put(f"{ROOT}/a", a_service("a"))
    return api


@pytest.fixture
async def connection(api: FakeApi, tmp_path: Path) -> AsyncIterator[Connection]:
    async with connected(api, tmp_path) as connection:
        yield connection


@asynccontextmanager
async def running(cache: Cache, connection: Connection) -> AsyncIterator[Cache]:
    task = asyncio.create_task(cache.run(connection))
    try:
        yield cache
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def cache(api: FakeApi, connection: Connection) -> AsyncIterator[Cache]:
    """One that has listed and watches."""
    async with running(Cache(SERVICE, index=owner_of, jitter=lambda: 0.0), connection) as cache:
        await until(lambda: api.watches)
        yield cache


def names(cache: Cache) -> set[str]:
    return {key.name for key in cache.names()}


async def test_what_there_is_is_known_after_the_first_list(cache: Cache) -> None:
    assert (names(cache), cache.synced.is_set()) == ({"a"}, True)


async def test_what_is_made_changed_and_deleted_is_heard_of(api: FakeApi, cache: Cache) -> None:
    api.put(f"{ROOT}/b", a_service("b"))
    api.put(f"{ROOT}/b", a_service("b", port=81))
    api.remove(f"{ROOT}/a")
    await until(lambda: names(cache) == {"b"})

    found = cache.get(Key("default", "b"))
    assert found is not None
    assert found["spec"]["port"] == 81


async def test_managed_fields_are_not_kept(cache: Cache) -> None:
    found = cache.get(Key("default", "a"))
    assert found is not None
    assert "managedFields" not in found["metadata"]


async def test_what_happened_while_the_watch_was_away_is_found_by_a_new_list(api: FakeApi, cache: Cache) -> None:
    watches, api.watches = api.watches, set()
    api.put(f"{ROOT}/b", a_service("b"))
    api.remove(f"{ROOT}/a")
    api.watches = watches
    api.cut()

    await until(lambda: names(cache) == {"b"})


async def test_a_watch_that_ends_in_order_goes_on_without_a_new_list(api: FakeApi, cache: Cache) -> None:
    for queue in api.watches:
        queue.put_nowait(None)
    await until(lambda: api.watches_opened == 2)
    api.put(f"{ROOT}/b", a_service("b"))
    await until(lambda: names(cache) == {"a", "b"})

    assert cache.lists == 1


async def test_an_error_in_the_watch_leads_to_a_new_list(api: FakeApi, cache: Cache) -> None:
    api.say({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})
    await until(lambda: cache.lists == 2)

    assert names(cache) == {"a"}


async def test_a_bookmark_moves_the_watch_on_and_changes_nothing(api: FakeApi, cache: Cache) -> None:
    api.version = 500
    api.say({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "500"}}})
    api.oldest = 500
    for queue in api.watches:
        queue.put_nowait(None)
    await until(lambda: api.watches_opened == 2)

    assert (names(cache), cache.lists) == ({"a"}, 1)


async def test_an_api_server_that_is_away_is_asked_again(api: FakeApi, cache: Cache) -> None:
    api.down = True
    api.cut()
    await until(lambda: api.refused)
    api.put(f"{ROOT}/b", a_service("b"))
    api.down = False

    await until(lambda: names(cache) == {"a", "b"})


async def test_objects_are_found_by_their_owner(api: FakeApi, cache: Cache) -> None:
    api.put(f"{ROOT}/b", a_service("b", owner="other"))
    await until(lambda: names(cache) == {"a", "b"})
    api.put(f"{ROOT}/a", a_service("a", owner="other"))
    await until(lambda: len(cache.of(Key("default", "other"))) == 2)

    assert cache.of(Key("default", "kat")) == []


async def test_the_answer_to_a_write_is_known_at_once_and_older_news_does_not_undo_it(
    api: FakeApi, cache: Cache
) -> None:
    older = {**api.objects[f"{ROOT}/a"], "spec": {"port": 1}}
    older["metadata"] = {**older["metadata"], "resourceVersion": "150"}
    cache.put({**a_service("a", port=99), "metadata": {**a_service("a")["metadata"], "resourceVersion": "200"}})
    api.say({"type": "MODIFIED", "object": older})
    api.put(f"{ROOT}/b", a_service("b"))
    await until(lambda: "b" in names(cache))

    found = cache.get(Key("default", "a"))
    assert found is not None
    assert found["spec"]["port"] == 99


async def test_a_kind_that_is_not_installed_counts_as_read_and_empty(api: FakeApi, connection: Connection) -> None:
    async with running(Cache(SERVICE, namespaces=["default"]), connection) as cache:
        await cache.synced.wait()

        assert (cache.installed, len(cache)) == (False, 0)


async def test_a_watch_that_is_silent_for_too_long_leads_to_a_new_list(api: FakeApi, connection: Connection) -> None:
    async with running(Cache(SERVICE, idle_seconds=0.05, jitter=lambda: 0.0), connection) as cache:
        await until(lambda: api.watches)
        # As on a dead connection: no watch hears of it.
        api.watches.clear()
        api.put(f"{ROOT}/b", a_service("b"))

        await until(lambda: names(cache) == {"a", "b"})
