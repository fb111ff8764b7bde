"""What the operator says of a service: conditions with reasons, and the events that their transitions make. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Literal

from kat_operator.api import AutoThinkServiceSpec, ConditionType
from kat_operator.autoscaler.observation import Decision
from kat_operator.reasons import EXPLANATIONS, TROUBLE, Reason
from kat_operator.resources import selector
from kat_operator.status import AutoThinkServiceStatus, Condition, DecisionStatus, PoolStatus, WishStatus
from kat_operator.upgrade import Rollout, RolloutReason

ConditionStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool, as it was observed and as it is asked for now."""

    name: str
    replicas: int
    """Asked for, this tick's decision included."""
    ready: int
    ceiling: int
    template: str | None
    """Hash of the template that its InferenceService has."""
    stuck: str | None = None
    """Of a replica that does not turn ready: its pod, why, and since when, in one line."""


@dataclass(frozen=True, slots=True)
class MetricsState:
    """How this tick's signals were come by."""

    reason: Reason
    """One of those of MetricsAvailable."""
    message: str
    available: bool | None
    """None where nothing can be said, as without a replica."""


@dataclass(frozen=True, slots=True)
class Transition:
    """Something that became so with this tick: an event on the service."""

    warning: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """A status, and what is new in it."""

    status: AutoThinkServiceStatus
    transitions: tuple[Transition, ...]


def report(
    previous: AutoThinkServiceStatus,
    *,
    generation: int,
    now: datetime,
    service: str,
    spec: AutoThinkServiceSpec,
    pools: Sequence[PoolState],
    decision: Decision,
    metrics: MetricsState,
    rollout: Rollout,
    think_on_share: float | None,
    startup_seconds: float | None,
) -> Report:
    """The status after a tick that went well.

    Args:
        previous: as read from the service.
        generation: of the spec that was acted on.
        now: with a time zone; kept in whole seconds.
        service: its name.
        spec: as acted on.
        pools: those of the spec, in its order.
        decision: this tick's.
        metrics: where its signals came from.
        rollout: this tick's.
        think_on_share: 0 to 1; None where it is not known, which keeps no older one.
        startup_seconds: as measured; None keeps the older one.
    """
    ready, asked = sum(pool.ready for pool in pools), sum(pool.replicas for pool in pools)
    judged = [
        _ready(spec, ready=ready, desired=decision.replicas),
        _progressing(pools, rollout, ready=ready, asked=asked),
        _capacity_limited(decision, pools, asked=asked, floor=spec.replicas.min),
        _metrics(metrics),
    ]
    status = AutoThinkServiceStatus(
        observed_generation=generation,
        conditions=_merge(previous, judged, generation, now),
        model=spec.model.served_name,
        replicas=asked,
        ready_replicas=ready,
        desired_replicas=decision.replicas,
        selector=selector(service),
        think_on_share=None if think_on_share is None else f"{100 * think_on_share:.0f} %",
        startup_seconds=previous.startup_seconds if startup_seconds is None else round(startup_seconds, 1),
        pools=tuple(
            PoolStatus(
                name=pool.name, replicas=pool.replicas, ready=pool.ready, ceiling=pool.ceiling, template=pool.template
            )
            for pool in pools
        ),
        last_decision=_decision(previous.last_decision, decision, now),
    )
    scaled = () if previous.last_decision is None else _scaled(previous.desired_replicas, decision)
    return Report(status, (*scaled, *_transitions(previous, status)))


def failure(
    previous: AutoThinkServiceStatus, *, generation: int, now: datetime, reason: Reason, message: str
) -> Report:
    """The status after a tick that could not do its work: what was known stays, and Ready says what is wrong.

    `observedGeneration` of the status stays, too: the spec has not been acted on. Other conditions are Unknown where they
    were never told.

    Args:
        previous: as read from the service.
        generation: of the spec that could not be acted on.
        now: with a time zone.
        reason: INVALID_SPEC, KSERVE_MISSING or RECONCILE_FAILED.
        message: one line.
    """
    # A service whose replicas serve stays ready while only the operator's own work fails.
    was_ready = previous.condition(ConditionType.READY)
    serves = reason is Reason.RECONCILE_FAILED and was_ready is not None and was_ready.status == "True"
    judged = [
        _Judged(ConditionType.READY, "True" if serves else "False", reason, message),
        *(
            _Judged(type_, "Unknown", Reason.NOT_OBSERVED, EXPLANATIONS[Reason.NOT_OBSERVED])
            for type_ in ConditionType
            if type_ is not ConditionType.READY and previous.condition(type_) is None
        ),
    ]
    merged = _merge(previous, judged, generation, now)
    told = {condition.type for condition in merged}
    kept = (condition for condition in previous.conditions if condition.type not in told)
    status = previous.model_copy(update={"conditions": _in_order((*merged, *kept))})
    return Report(status, _transitions(previous, status))


@dataclass(frozen=True, slots=True)
class _Judged:
    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str


def _ready(spec: AutoThinkServiceSpec, *, ready: int, desired: int) -> _Judged:
    if ready == 0 and desired == 0 and spec.replicas.min == 0:
        return _Judged(ConditionType.READY, "True", Reason.SCALED_TO_ZERO, EXPLANATIONS[Reason.SCALED_TO_ZERO])
    needed = max(1, spec.replicas.min - spec.disruption.max_unavailable)
    if ready >= needed:
        return _Judged(ConditionType.READY, "True", Reason.REPLICAS_READY, f"{_replicas(ready)} of {desired} serve")
    message = f"{_replicas(ready)} of {desired} serve, {needed} must"
    return _Judged(ConditionType.READY, "False", Reason.TOO_FEW_REPLICAS, message)


def _progressing(pools: Sequence[PoolState], rollout: Rollout, *, ready: int, asked: int) -> _Judged:
    stuck = [f"{pool.name}: {pool.stuck}" for pool in pools if pool.stuck is not None]
    if stuck:
        return _Judged(ConditionType.PROGRESSING, "False", Reason.REPLICA_STUCK, "; ".join(stuck)[:2_048])
    if rollout.reason is not RolloutReason.UP_TO_DATE:
        return _Judged(ConditionType.PROGRESSING, "True", Reason(rollout.reason.value), rollout.message)
    if ready != asked:
        message = f"{_replicas(ready)} serve, {asked} are asked for"
        return _Judged(ConditionType.PROGRESSING, "True", Reason.SCALING, message)
    return _Judged(ConditionType.PROGRESSING, "False", Reason.SETTLED, EXPLANATIONS[Reason.SETTLED])


def _capacity_limited(decision: Decision, pools: Sequence[PoolState], *, asked: int, floor: int) -> _Judged:
    ceiling = sum(pool.ceiling for pool in pools)
    if "ceiling" in decision.bounds or asked < decision.replicas:
        wanted = ceil(max(floor, decision.replicas, *(wish.replicas for wish in decision.wishes)))
        rooms = ", ".join(f"{pool.name} {pool.ceiling}" for pool in pools)
        message = f"wanted: {_replicas(wanted)}; the pools can hold {ceiling} ({rooms})"
        return _Judged(ConditionType.CAPACITY_LIMITED, "True", Reason.POOLS_FULL, message)
    message = f"the pools can hold {_replicas(ceiling)}"
    return _Judged(ConditionType.CAPACITY_LIMITED, "False", Reason.CAPACITY_AVAILABLE, message)


def _metrics(metrics: MetricsState) -> _Judged:
    status: ConditionStatus = "Unknown" if metrics.available is None else "True" if metrics.available else "False"
    return _Judged(ConditionType.METRICS_AVAILABLE, status, metrics.reason, metrics.message[:2_048])


def _merge(
    previous: AutoThinkServiceStatus, judged: Iterable[_Judged], generation: int, now: datetime
) -> tuple[Condition, ...]:
    return _in_order(_condition(previous.condition(entry.type), entry, generation, now) for entry in judged)


def _condition(before: Condition | None, judged: _Judged, generation: int, now: datetime) -> Condition:
    changed = before is None or before.status != judged.status
    return Condition(
        type=judged.type,
        status=judged.status,
        reason=judged.reason,
        message=judged.message[:2_048],
        observed_generation=generation,
        last_transition_time=now.replace(microsecond=0) if before is None or changed else before.last_transition_time,
    )


def _in_order(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Always in the same order, so that a status that says the same compares equal."""
    order = list(ConditionType)
    return tuple(sorted(conditions, key=lambda condition: order.index(condition.type)))


def _decision(before: DecisionStatus | None, decision: Decision, now: datetime) -> DecisionStatus:
    same = before is not None and before.reason == decision.reason and before.bounds == tuple(decision.bounds)
    return DecisionStatus(
        reason=decision.reason,
        message=decision.message,
        time=before.time if before is not None and same else now.replace(microsecond=0),
        wishes=tuple(
            WishStatus(law=wish.law, replicas=round(wish.replicas, 2), because=wish.because) for wish in decision.wishes
        ),
        bounds=tuple(decision.bounds),
    )


def _scaled(before: int, decision: Decision) -> tuple[Transition, ...]:
    if decision.replicas == before:
        return ()
    message = f"from {before} to {_replicas(decision.replicas)}, {decision.reason}: {decision.message}"
    reason = "ScaledUp" if decision.replicas > before else "ScaledDown"
    return (Transition(warning=False, reason=reason, message=message),)


def _transitions(before: AutoThinkServiceStatus, after: AutoThinkServiceStatus) -> tuple[Transition, ...]:
    return tuple(
        Transition(warning=condition.reason in TROUBLE, reason=condition.reason, message=condition.message)
        for condition in after.conditions
        if _is_news(before.condition(condition.type), condition)
    )


def _is_news(before: Condition | None, after: Condition) -> bool:
    if before is None:
        # The first status of a service tells nothing new of what is as it should be.
        return after.reason in TROUBLE
    return (before.status, before.reason) != (after.status, after.reason)


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"
