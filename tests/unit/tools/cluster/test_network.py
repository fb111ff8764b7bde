"""Nodes of one machine never share an address."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.cluster.node.network import NodeNetwork, free_network


@given(st.integers(min_value=0, max_value=10_000))
def test_numbers_are_those_that_an_address_has_room_for(start: int) -> None:
    assert 1 <= free_network(links=[], start=start).number <= 250


@given(st.integers(1, 250), st.integers(1, 250))
def test_two_nodes_have_no_address_in_common(one: int, other: int) -> None:
    first, second = NodeNetwork(number=one), NodeNetwork(number=other)
    ranges = [(network.pods, network.services, IPv4Network(f"{network.machine}/32")) for network in (first, second)]

    common = any(mine.overlaps(theirs) for mine in ranges[0] for theirs in ranges[1])

    assert common == (one == other)


def test_a_network_that_is_in_use_is_passed_over() -> None:
    first = free_network(links=["eth0"], start=41)

    assert free_network(links=["eth0", first.link], start=41).number == first.number + 1


def test_the_search_goes_round() -> None:
    assert free_network(links=["kat-node250"], start=249).number == 1


def test_no_network_left_is_said() -> None:
    with pytest.raises(OSError, match="all 250 networks"):
        free_network(links=[f"kat-node{number}" for number in range(1, 251)])


def test_a_links_name_is_no_longer_than_linux_allows() -> None:
    assert len(NodeNetwork(number=250).link) <= 15
