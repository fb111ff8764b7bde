"""How a new template reaches the pools."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kat_operator.upgrade import PoolRollout, RolloutReason, Strategy, plan_rollout

NEW, OLD, OLDER = "new", "old", "older"


def pool(name: str = "a", **changes: object) -> PoolRollout:
    """A pool whose three replicas serve with the template that is wanted, and whose nodes can hold a fourth."""
    settled = PoolRollout(
        name=name,
        desired=NEW,
        applied=NEW,
        strategy=Strategy.SURGE,
        replicas=3,
        updated_ready=3,
        outdated=0,
        terminating=0,
        ceiling=4,
    )
    return replace(settled, **changes)  # type: ignore[arg-type] # names and types of the fields are the tests' own


def stale(name: str = "a", **changes: object) -> PoolRollout:
    return pool(name, **{"applied": OLD, **changes})


def test_nothing_rolls_where_all_have_the_template() -> None:
    rollout = plan_rollout([pool("a"), pool("b")])
    assert (rollout.pool, rollout.held, rollout.reason) == (None, frozenset(), RolloutReason.UP_TO_DATE)


def test_a_pool_with_room_for_one_more_surges() -> None:
    rollout = plan_rollout([stale(ceiling=4)])
    assert (rollout.strategies["a"], rollout.reason) == (Strategy.SURGE, RolloutReason.SURGING)


def test_a_full_pool_rolls_one_at_a_time() -> None:
    rollout = plan_rollout([stale(ceiling=3)])
    assert rollout.strategies["a"] is Strategy.ONE_AT_A_TIME
    assert rollout.reason is RolloutReason.NO_CAPACITY_TO_SURGE


def test_a_pool_whose_only_replica_must_go_first_says_that_it_serves_nothing_meanwhile() -> None:
    assert "serves nothing meanwhile" in plan_rollout([stale(replicas=1, updated_ready=1, ceiling=1)]).message


def test_the_second_pool_keeps_its_template_until_the_first_has_rolled() -> None:
    assert plan_rollout([stale("a"), stale("b")]).held == {"b"}


def test_the_second_pool_waits_for_the_first_ones_last_replica_to_serve() -> None:
    assert plan_rollout([pool("a", updated_ready=2), stale("b")]).held == {"b"}


def test_the_second_pool_follows_once_the_first_has_rolled() -> None:
    rollout = plan_rollout([pool("a"), stale("b")])
    assert (rollout.pool, rollout.held) == ("b", frozenset())


def test_a_template_that_never_turns_ready_does_not_keep_its_correction_waiting() -> None:
    broken = stale("a", outdated=2, updated_ready=0)
    rollout = plan_rollout([broken, stale("b")])
    assert (rollout.pool, rollout.held) == ("a", frozenset({"b"}))


def test_a_template_that_never_turns_ready_does_not_reach_the_next_pool() -> None:
    stuck = pool("a", outdated=2, updated_ready=0)
    assert plan_rollout([stuck, stale("b")]).held == {"b"}


def test_a_pool_without_replicas_takes_the_template_at_once() -> None:
    rollout = plan_rollout([stale("a"), stale("b", replicas=0, updated_ready=0)])
    assert rollout.held == frozenset()


def test_a_new_pool_does_not_wait_for_a_rollout() -> None:
    fresh = pool("b", applied=None, strategy=None, updated_ready=0)
    assert plan_rollout([stale("a"), fresh]).held == frozenset()


def test_a_pool_that_only_grows_keeps_its_strategy() -> None:
    growing = pool(strategy=Strategy.ONE_AT_A_TIME, updated_ready=2, ceiling=9)
    assert plan_rollout([growing]).strategies["a"] is Strategy.ONE_AT_A_TIME


def test_a_rollout_keeps_its_strategy_while_a_pod_is_on_its_way_out() -> None:
    leaving = pool(outdated=2, updated_ready=1, terminating=1, ceiling=3)
    assert plan_rollout([leaving]).strategies["a"] is Strategy.SURGE


def test_a_surge_whose_room_was_taken_goes_on_one_at_a_time() -> None:
    blocked = pool(outdated=2, updated_ready=1, ceiling=3)
    assert plan_rollout([blocked]).strategies["a"] is Strategy.ONE_AT_A_TIME


def test_a_rollout_one_at_a_time_surges_once_there_is_room() -> None:
    relieved = pool(outdated=2, updated_ready=1, strategy=Strategy.ONE_AT_A_TIME, ceiling=4)
    assert plan_rollout([relieved]).strategies["a"] is Strategy.SURGE


def test_the_message_says_who_waits() -> None:
    assert plan_rollout([stale("a"), stale("b"), stale("c")]).message.endswith("; b, c wait")


sizes = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=4)


@given(sizes)
def test_every_pool_rolls_in_the_end_one_by_one_and_without_loss_where_there_is_room(
    described: list[tuple[int, bool]],
) -> None:
    pools = [
        stale(f"p{number}", replicas=replicas, updated_ready=replicas, ceiling=replicas + spare)
        for number, (replicas, spare) in enumerate(described)
    ]
    for _ in range(50):  # four pools of four replicas take 36 steps
        rollout = plan_rollout(pools)
        pools = [_step(pool, rollout.strategies[pool.name], held=pool.name in rollout.held) for pool in pools]
        assert sum(pool.outdated > 0 for pool in pools) <= 1
        for pool in pools:
            serving = pool.updated_ready + pool.outdated
            assert serving >= pool.replicas - (0 if pool.ceiling > pool.replicas else 1)
    assert all(pool.applied == NEW and pool.updated_ready == pool.replicas for pool in pools)


def _step(pool: PoolRollout, strategy: Strategy, *, held: bool) -> PoolRollout:
    """What the Deployment's controller does to a pool between two looks: one pod."""
    if held:
        return pool
    if pool.stale:
        return replace(pool, applied=NEW, strategy=strategy, outdated=pool.updated_ready, updated_ready=0)
    pods = pool.updated_ready + pool.outdated
    if pods < pool.replicas or (strategy is Strategy.SURGE and pool.outdated and pods == pool.replicas):
        return replace(pool, strategy=strategy, updated_ready=pool.updated_ready + 1)
    if pool.outdated:
        return replace(pool, strategy=strategy, outdated=pool.outdated - 1)
    return pool
