"""Who is asked for while there is no replica, and how requests get there."""

from __future__ import annotations

import pytest

from kat_operator.activator import Wishes, activator_endpoint_slice
from kat_operator.kinds import Key
from tests.fakes.clock import Clock
from tests.fakes.wishes import KAT, wishes_for_kat

SERVICE = {"metadata": {"name": "kat", "namespace": "llm", "uid": "7c1e"}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def woken() -> list[Key]:
    return []


@pytest.fixture
def wishes(clock: Clock, woken: list[Key]) -> Wishes:
    return wishes_for_kat(clock, woken)


@pytest.mark.parametrize(
    "host",
    [
        "kat",
        "kat:80",
        "kat.llm",
        "kat.llm:8080",
        "kat.llm.svc",
        "kat.llm.svc.cluster.local",
        "kat.llm.svc.cluster.local:80",
        "KAT.LLM.svc.example.org",
    ],
)
def test_a_service_is_found_by_every_name_that_the_cluster_has_for_it(wishes: Wishes, host: str) -> None:
    assert wishes.find(host) == KAT


@pytest.mark.parametrize("host", ["", ":", "kat.other", "kat.llm.com", "llm.kat", "[::1]:80", "10.0.0.7"])
def test_a_host_that_names_no_service_finds_none(wishes: Wishes, host: str) -> None:
    assert wishes.find(host) is None


def test_a_bare_name_that_two_namespaces_have_finds_none(wishes: Wishes) -> None:
    wishes.expect(Key("other", "kat"), startup_seconds=10)
    assert wishes.find("kat") is None
    assert wishes.find("kat.other") == Key("other", "kat")


def test_the_loop_is_woken_by_the_first_request_and_not_by_each(wishes: Wishes, woken: list[Key]) -> None:
    for _ in range(3):
        wishes.ask(KAT)
    assert woken == [KAT]


def test_a_wish_outlasts_the_time_after_which_its_client_was_told_to_come_back(wishes: Wishes, clock: Clock) -> None:
    wishes.ask(KAT)
    clock.advance(240)
    assert wishes.wanted(KAT)


def test_a_wish_that_nobody_renews_ends(wishes: Wishes, clock: Clock) -> None:
    wishes.ask(KAT)
    clock.advance(301)
    assert not wishes.wanted(KAT)


def test_a_wish_ends_with_the_replica_that_it_brought(wishes: Wishes) -> None:
    wishes.ask(KAT)
    wishes.fulfilled(KAT)
    assert not wishes.wanted(KAT)


def test_a_wish_is_renewed_by_whoever_asks_again(wishes: Wishes, clock: Clock) -> None:
    for _ in range(5):
        wishes.ask(KAT)
        clock.advance(200)
    assert wishes.wanted(KAT)


def test_a_deleted_service_is_wanted_by_nobody(wishes: Wishes) -> None:
    wishes.ask(KAT)
    wishes.forget(KAT)
    assert (wishes.wanted(KAT), wishes.find("kat"), wishes.find("kat.llm")) == (False, None, None)


def test_a_service_without_a_ready_pod_is_led_to_the_activator() -> None:
    slice_ = activator_endpoint_slice(SERVICE, "10.0.0.9", 8082, [])
    assert slice_ is not None
    assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == "kat"
    assert slice_["endpoints"] == [{"addresses": ["10.0.0.9"], "conditions": {"ready": True}}]
    assert slice_["ports"] == [{"name": "http", "port": 8082, "protocol": "TCP"}]


def test_a_service_with_a_ready_pod_is_not() -> None:
    assert activator_endpoint_slice(SERVICE, "10.0.0.9", 8082, ["kat-h100-predictor-x"]) is None


@pytest.mark.parametrize(("address", "type_"), [("10.0.0.9", "IPv4"), ("fd00::9", "IPv6")])
def test_the_slice_is_of_the_activators_address_family(address: str, type_: str) -> None:
    slice_ = activator_endpoint_slice(SERVICE, address, 8082, [])
    assert slice_ is not None
    assert slice_["addressType"] == type_


def test_the_slice_goes_with_its_service_and_no_other_controller_takes_it_for_its_own() -> None:
    slice_ = activator_endpoint_slice(SERVICE, "10.0.0.9", 8082, [])
    assert slice_ is not None
    assert [owner["uid"] for owner in slice_["metadata"]["ownerReferences"]] == ["7c1e"]
    assert slice_["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "kat-operator"
