"""What holds of the policy whatever it sees."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from kat.usage_event import Mode
from kat_operator.api import ReplicasSpec
from kat_operator.autoscaler.observation import ModeSignals, Observation, ReplicaSignals, Signals
from kat_operator.autoscaler.policy import PolicyState, decide
from tests.fakes.observations import AUTOSCALING, SLOTS, Autoscaler, some_signals

unhurried = settings(deadline=None, max_examples=50)
"""A past is a dozen decisions, and the machine may be busy."""

amounts = st.floats(0, 500)
maybe_seconds = st.none() | st.floats(0.01, 300)


@st.composite
def signals(draw: st.DrawFn) -> Signals:
    mode = st.builds(
        ModeSignals,
        arrivals_per_second=st.floats(0, 50),
        in_flight=amounts,
        tokens_per_request=st.none() | st.floats(1, 5_000),
        seconds_per_request=maybe_seconds,
        time_to_first_answer_token=maybe_seconds,
    )
    replicas = draw(st.lists(st.tuples(amounts, amounts, st.floats(0, 1)), max_size=8))
    return Signals(
        modes=draw(st.dictionaries(st.sampled_from(list(Mode)), mode)),
        replicas=tuple(ReplicaSignals(f"pod-{number}", *figures) for number, figures in enumerate(replicas)),
        seconds_per_token=draw(st.none() | st.floats(0.001, 0.2)),
        rejected_per_second=draw(st.floats(0, 20)),
    )


@st.composite
def observations(
    draw: st.DrawFn, *, at: float = 0.0, shown: st.SearchStrategy[Signals | None] | None = None
) -> Observation:
    return Observation(
        at=at,
        signals=draw(st.none() | signals() if shown is None else shown),
        ready=draw(st.integers(0, 12)),
        starting=draw(st.integers(0, 6)),
        ceiling=draw(st.integers(0, 20)),
        wanted_by_activator=draw(st.booleans()),
        startup_seconds=draw(st.none() | st.floats(10, 600)),
        since_last_request=draw(st.none() | st.floats(0, 5_000)),
    )


@st.composite
def bounds(draw: st.DrawFn) -> ReplicasSpec:
    least = draw(st.integers(0, 10))
    return ReplicasSpec(min=least, max=max(1, least + draw(st.integers(0, 10))))


def past(moments: int, random: Random) -> PolicyState:
    """A state after some minutes of anything; the last moment is before 10,000 s."""
    state, at = PolicyState(), random.uniform(0, 5_000)
    for _ in range(moments):
        at += random.uniform(1, 120)
        shown = random.choice((None, _any_load(random)))
        seen = Observation(
            at=at,
            signals=shown,
            ready=random.randint(0, 12),
            starting=random.randint(0, 6),
            ceiling=random.randint(0, 20),
            wanted_by_activator=random.random() < 0.5,
            startup_seconds=random.choice((None, random.uniform(10, 600))),
        )
        _, state = decide(AUTOSCALING, ReplicasSpec(min=0, max=20), state, seen)
    return state


def _any_load(random: Random) -> Signals:
    return some_signals(
        in_flight=random.choice((0.0, random.uniform(0, 500))),
        queued=random.choice((0.0, random.uniform(0, 500))),
        per_second=random.uniform(0, 50),
        think_on=random.random(),
        kv_cache=random.random(),
        replicas=random.randint(1, 8),
        rejected=random.choice((0.0, random.uniform(0, 20))),
        first_answer_on=random.choice((None, random.uniform(0.01, 300))),
        first_answer_off=random.choice((None, random.uniform(0.01, 300))),
    )


def pasts() -> st.SearchStrategy[PolicyState]:
    """Made from a seed: to draw each of their figures takes longer than all decisions."""
    return st.builds(past, st.integers(0, 12), st.integers(0, 2**32).map(Random))


@unhurried
@given(pasts(), observations(at=10_000.0), bounds())
def test_never_fewer_than_min_unless_the_pools_hold_no_more(
    state: PolicyState, shown: Observation, replicas: ReplicasSpec
) -> None:
    decision, _ = decide(AUTOSCALING, replicas, state, shown)
    assert decision.replicas >= min(replicas.min, shown.ceiling)


@unhurried
@given(pasts(), observations(at=10_000.0), bounds())
def test_never_more_than_max_or_the_pools_hold_but_what_is_there_already(
    state: PolicyState, shown: Observation, replicas: ReplicasSpec
) -> None:
    decision, _ = decide(AUTOSCALING, replicas, state, shown)
    assert decision.replicas <= max(shown.current, min(replicas.max, shown.ceiling))


@unhurried
@given(pasts(), observations(at=10_000.0, shown=st.none()), bounds())
def test_without_signals_nothing_goes_but_what_is_beyond_max(
    state: PolicyState, shown: Observation, replicas: ReplicasSpec
) -> None:
    decision, _ = decide(AUTOSCALING, replicas, state, shown)
    assert decision.replicas >= min(shown.current, replicas.max)


@unhurried
@given(pasts(), observations(at=10_000.0), bounds())
def test_one_goes_at_a_time_but_where_a_bound_says_otherwise(
    state: PolicyState, shown: Observation, replicas: ReplicasSpec
) -> None:
    decision, _ = decide(AUTOSCALING, replicas, state, shown)
    bound = min(shown.current, replicas.max, max(shown.ceiling, shown.ready))
    assert decision.replicas >= bound - 1


@unhurried
@given(pasts(), observations(at=10_000.0, shown=signals()), bounds(), st.floats(1, 4))
def test_more_load_never_asks_for_less(
    state: PolicyState, shown: Observation, replicas: ReplicasSpec, factor: float
) -> None:
    less, _ = decide(AUTOSCALING, replicas, state, shown)
    more, _ = decide(AUTOSCALING, replicas, state, replace(shown, signals=_times(shown.signals, factor)))
    assert more.replicas >= less.replicas


@unhurried
@given(pasts(), observations(at=10_000.0, shown=signals()), bounds(), st.randoms(use_true_random=False))
def test_the_order_of_replicas_is_irrelevant(
    state: PolicyState, shown: Observation, replicas: ReplicasSpec, random: Random
) -> None:
    assert shown.signals is not None
    shuffled = list(shown.signals.replicas)
    random.shuffle(shuffled)
    first, _ = decide(AUTOSCALING, replicas, state, shown)
    second, _ = decide(AUTOSCALING, replicas, state, replace(shown, signals=replace(shown.signals, replicas=shuffled)))
    assert first.replicas == second.replicas


# An hour of decisions may take longer than the deadline on a busy machine.
@settings(deadline=None, max_examples=8)
@given(load=st.floats(0, 20), ready=st.integers(1, 20), seed=st.integers(0, 2**16))
def test_a_load_that_stays_never_takes_a_step_down_back(load: float, ready: int, seed: int) -> None:
    scaler = Autoscaler(ready=ready)
    random = Random(seed)
    scaler.sees_all(some_signals(in_flight=load * SLOTS * random.uniform(0.98, 1.02)) for _ in range(720))
    steps = [after - before for before, after in zip([ready, *scaler.asked], scaler.asked, strict=False)]
    first_down = next((number for number, step in enumerate(steps) if step < 0), len(steps))
    assert all(step <= 0 for step in steps[first_down:])


def _times(shown: Signals | None, factor: float) -> Signals:
    assert shown is not None
    return replace(
        shown,
        modes={
            mode: replace(
                each, arrivals_per_second=each.arrivals_per_second * factor, in_flight=each.in_flight * factor
            )
            for mode, each in shown.modes.items()
        },
        replicas=[
            replace(
                each,
                in_flight=each.in_flight * factor,
                queued=each.queued * factor,
                kv_cache_usage=min(1.0, each.kv_cache_usage * factor),
            )
            for each in shown.replicas
        ],
        rejected_per_second=shown.rejected_per_second * factor,
    )
