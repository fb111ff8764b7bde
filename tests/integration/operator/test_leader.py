"""Who holds the lease, and who may write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kat_operator.connection import Connection
from kat_operator.errors import ApiServerError, NotLeader
from kat_operator.kinds import Key
from kat_operator.leader import Leadership, LeaseTimes
from tests.fakes.clock import Clock
from tests.fakes.kubernetes_api import FakeApi, connected

LEASE = Key("kat-system", "kat-operator")
PATH = "/apis/coordination.k8s.io/v1/namespaces/kat-system/leases/kat-operator"


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
async def connection(api: FakeApi, tmp_path: Path) -> AsyncIterator[Connection]:
    async with connected(api, tmp_path) as connection:
        yield connection


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def first(connection: Connection, clock: Clock) -> Leadership:
    return Leadership(connection, LEASE, "first", clock=clock.monotonic)


@pytest.fixture
def second(connection: Connection, clock: Clock) -> Leadership:
    return Leadership(connection, LEASE, "second", clock=clock.monotonic)


async def test_where_there_is_no_lease_yet_the_first_to_come_leads(first: Leadership, second: Leadership) -> None:
    await first.try_once()
    await second.try_once()

    assert (first.leading, second.leading) == (True, False)


async def test_who_has_not_tried_does_not_lead(first: Leadership) -> None:
    assert not first.leading


async def test_a_lease_that_is_renewed_is_not_taken(first: Leadership, second: Leadership, clock: Clock) -> None:
    await first.try_once()
    for _renewal in range(20):
        clock.advance(2)
        await first.try_once()
        await second.try_once()

    assert (first.leading, second.leading) == (True, False)


async def test_a_lease_that_is_not_renewed_is_taken_when_it_has_run_out(
    first: Leadership, second: Leadership, clock: Clock
) -> None:
    await first.try_once()
    await second.try_once()
    clock.advance(14)
    await second.try_once()
    early = second.leading
    clock.advance(2)
    await second.try_once()

    assert (early, second.leading) == (False, True)


async def test_a_lease_counts_from_when_it_was_seen_not_from_what_its_holder_calls_the_time(
    api: FakeApi, second: Leadership, clock: Clock
) -> None:
    spec = {"holderIdentity": "first", "leaseDurationSeconds": 15, "renewTime": "1999-01-01T00:00:00.000000Z"}
    api.put(PATH, {"metadata": {"namespace": "kat-system", "name": "kat-operator"}, "spec": spec})
    await second.try_once()

    assert not second.leading


async def test_who_cannot_renew_stops_before_another_may_begin(
    api: FakeApi, first: Leadership, second: Leadership, clock: Clock
) -> None:
    await first.try_once()
    await second.try_once()
    api.down = True
    clock.advance(10)
    with pytest.raises(ApiServerError):
        await first.try_once()
    stopped = not first.leading
    api.down = False
    await second.try_once()

    assert (stopped, second.leading) == (True, False)


async def test_who_was_cut_off_for_a_moment_leads_again_with_its_next_renewal(
    first: Leadership, clock: Clock, api: FakeApi
) -> None:
    await first.try_once()
    clock.advance(11)
    assert not first.leading
    await first.try_once()

    assert first.leading


async def test_who_finds_the_lease_taken_does_not_lead(first: Leadership, second: Leadership, clock: Clock) -> None:
    await first.try_once()
    await second.try_once()
    clock.advance(16)
    await second.try_once()
    await first.try_once()

    assert (first.leading, second.leading) == (False, True)


async def test_a_lease_that_is_given_back_is_taken_at_once(first: Leadership, second: Leadership) -> None:
    await first.try_once()
    await second.try_once()
    await first.release()
    await second.try_once()

    assert (first.leading, second.leading) == (False, True)


async def test_a_lease_that_somebody_deleted_is_made_again(api: FakeApi, first: Leadership, clock: Clock) -> None:
    await first.try_once()
    api.remove(PATH)
    clock.advance(2)
    await first.try_once()

    assert PATH in api.objects
    assert first.leading


async def test_changes_of_hands_are_counted(api: FakeApi, first: Leadership, second: Leadership, clock: Clock) -> None:
    await first.try_once()
    await first.try_once()
    await first.release()
    await second.try_once()

    assert api.objects[PATH]["spec"]["leaseTransitions"] == 2


async def test_without_the_lease_nothing_is_written(api: FakeApi, connection: Connection, first: Leadership) -> None:
    fenced = connection.fenced(lambda: first.leading)

    with pytest.raises(NotLeader):
        await fenced.create("/api/v1/namespaces/default/services", {"metadata": {"name": "kat"}})
    assert api.writes == 0


def test_a_write_must_end_before_the_lease_does() -> None:
    with pytest.raises(ValueError, match="duration_seconds must exceed renew_seconds"):
        LeaseTimes(duration_seconds=12, renew_seconds=10)
