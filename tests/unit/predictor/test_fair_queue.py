"""Who goes next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_predictor.fair_queue import FairQueue


def order(queue: FairQueue) -> str:
    return "".join(queue.pop().tenant for _ in range(len(queue)))


def test_one_tenant_is_served_first_come_first_served() -> None:
    queue = FairQueue()
    entries = [queue.push("a", cost) for cost in (9, 1, 5)]
    assert [queue.pop() for _ in entries] == entries


def test_a_tenant_with_many_requests_does_not_starve_one_with_few() -> None:
    queue = FairQueue()
    for tenant in "aaaab":
        queue.push(tenant, 100)
    assert order(queue) == "abaaa"


def test_tenants_with_equal_requests_take_turns() -> None:
    queue = FairQueue()
    for tenant in "aaabbb":
        queue.push(tenant, 100)
    assert order(queue) == "ababab"


def test_tenants_share_by_tokens_not_by_requests() -> None:
    queue = FairQueue()
    for _ in range(2):
        queue.push("big", 300)
    for _ in range(6):
        queue.push("small", 100)
    served = [queue.pop().tenant for _ in range(len(queue))]
    assert served[1:4] == ["small"] * 3


def test_a_latecomer_goes_before_the_backlog_of_another_tenant() -> None:
    queue = FairQueue()
    for _ in range(5):
        queue.push("a", 100)
    queue.pop()
    queue.push("b", 100)
    assert queue.pop().tenant == "b"


def test_a_latecomer_gets_no_credit_for_the_time_it_was_away() -> None:
    queue = FairQueue()
    for _ in range(9):
        queue.push("a", 100)
    for _ in range(5):
        queue.pop()
    for _ in range(4):
        queue.push("b", 100)
    assert "bbb" not in order(queue)


def test_what_was_served_is_forgotten_when_nobody_waits() -> None:
    queue = FairQueue()
    queue.push("a", 10_000)
    queue.pop()
    queue.push("a", 1)
    queue.push("b", 1)
    assert order(queue) == "ab"


def test_a_tenant_of_twice_the_weight_gets_twice_the_turns() -> None:
    queue = FairQueue()
    for tenant, weight in [*[("a", 2.0)] * 8, *[("b", 1.0)] * 4]:
        queue.push(tenant, 100, weight)
    served = order(queue)
    assert (served[:6].count("a"), served[:9].count("a")) == (4, 6)


def test_a_request_that_leaves_takes_nothing_from_its_tenant() -> None:
    queue = FairQueue()
    gone = queue.push("a", 10_000)
    queue.push("a", 100)
    queue.push("b", 100)
    queue.remove(gone)
    assert order(queue) == "ab"


def test_an_empty_queue_has_no_next() -> None:
    with pytest.raises(LookupError):
        FairQueue().pop()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), max_size=60))
def test_everything_that_waits_is_served_once_and_the_tokens_add_up(requests: list[tuple[str, int]]) -> None:
    queue = FairQueue()
    pushed = [queue.push(tenant, cost) for tenant, cost in requests]
    assert queue.tokens == sum(cost for _, cost in requests)
    popped = [queue.pop() for _ in requests]
    assert sorted(popped, key=lambda entry: entry.order) == pushed
    assert (len(queue), queue.tokens) == (0, 0)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), min_size=1, max_size=80),
    st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
)
def test_while_tenants_wait_their_shares_follow_their_weights(
    requests: list[tuple[str, int]], weights: list[float]
) -> None:
    """The bound of start-time fair queueing: one largest request of each, by its weight."""
    weight = dict(zip("abc", weights, strict=True))
    queue = FairQueue()
    waiting = dict.fromkeys("abc", 0)
    for tenant, cost in requests:
        queue.push(tenant, cost, weight[tenant])
        waiting[tenant] += 1
    backlogged = [tenant for tenant in "abc" if waiting[tenant]]
    served = dict.fromkeys("abc", 0.0)
    while all(waiting[tenant] for tenant in backlogged):
        entry = queue.pop()
        waiting[entry.tenant] -= 1
        served[entry.tenant] += entry.cost / weight[entry.tenant]
        for one in backlogged:
            for other in backlogged:
                bound = 50 / weight[one] + 50 / weight[other]
                assert abs(served[one] - served[other]) <= bound * (1 + 1e-9)
