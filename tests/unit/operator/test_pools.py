"""How many replicas each pool gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_operator.pools import PoolCapacity, distribute

counts = st.integers(0, 12)
pool_lists = st.lists(st.tuples(counts, counts), min_size=1, max_size=5).map(
    lambda pairs: [PoolCapacity(f"p{number}", *pair) for number, pair in enumerate(pairs)]
)


def shares(wanted: int, **pools: tuple[int, int]) -> list[int]:
    """Of pools given as name=(replicas, ceiling)."""
    given_pools = [PoolCapacity(name, *pair) for name, pair in pools.items()]
    return list(distribute(wanted, given_pools).values())


def test_the_first_pool_is_filled_before_the_second() -> None:
    assert shares(3, best=(0, 2), other=(0, 4)) == [2, 1]


def test_what_runs_in_a_worse_pool_stays_there_when_a_better_one_gets_room() -> None:
    assert shares(2, best=(0, 4), other=(2, 4)) == [0, 2]


def test_the_worst_pool_shrinks_first() -> None:
    assert shares(2, best=(2, 4), other=(2, 4)) == [2, 0]


def test_what_a_pool_lost_the_room_for_goes_to_another() -> None:
    assert shares(3, best=(3, 1), other=(0, 4)) == [1, 2]


def test_nothing_is_asked_that_cannot_be_scheduled() -> None:
    assert shares(9, best=(1, 2), other=(0, 1)) == [2, 1]


def test_two_pools_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        distribute(1, [PoolCapacity("a", 0, 1), PoolCapacity("a", 0, 1)])


def test_fewer_than_no_replicas_are_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        distribute(-1, [PoolCapacity("a", 0, 1)])


@given(counts, pool_lists)
def test_as_many_are_asked_as_wanted_or_as_there_is_room(wanted: int, pools: list[PoolCapacity]) -> None:
    assert sum(distribute(wanted, pools).values()) == min(wanted, sum(pool.ceiling for pool in pools))


@given(counts, pool_lists)
def test_no_pool_is_asked_for_more_than_its_ceiling(wanted: int, pools: list[PoolCapacity]) -> None:
    result = distribute(wanted, pools)
    assert all(0 <= result[pool.name] <= pool.ceiling for pool in pools)


@given(counts, pool_lists)
def test_no_replica_moves_while_another_one_is_added_or_removed(wanted: int, pools: list[PoolCapacity]) -> None:
    kept = {pool.name: min(pool.replicas, pool.ceiling) for pool in pools}
    changes = [share - kept[name] for name, share in distribute(wanted, pools).items()]
    assert all(change >= 0 for change in changes) or all(change <= 0 for change in changes)


@given(counts, pool_lists)
def test_what_was_distributed_stays_as_it_is(wanted: int, pools: list[PoolCapacity]) -> None:
    first = distribute(wanted, pools)
    settled = [PoolCapacity(pool.name, first[pool.name], pool.ceiling) for pool in pools]
    assert distribute(wanted, settled) == first
