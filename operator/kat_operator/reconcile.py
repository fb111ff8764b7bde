"""From a service and everything observed of it to what is to be done. Pure.

Level-triggered: what led here does not count, so a step that was lost, or done by somebody else, is simply found
missing or done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from kat_operator.api import POOL_LABEL, AutoThinkServiceSpec, PoolSpec
from kat_operator.autoscaler.observation import Observation
from kat_operator.autoscaler.policy import decide
from kat_operator.autoscaler.scale_down import Candidate, deletion_costs, victims
from kat_operator.conditions import MetricsState, PoolState, failure, report
from kat_operator.kinds import ENDPOINT_SLICE, INFERENCE_SERVICE, POD_MONITOR, Key
from kat_operator.observed import Body, Memory, Observed
from kat_operator.plan import Deletion, DeletionCost, Plan, Scale
from kat_operator.pod_view import PodView
from kat_operator.pools import PoolCapacity, distribute
from kat_operator.reasons import Reason
from kat_operator.rendering import Rendering
from kat_operator.resources import applied_strategy, applied_template, deployment_name, inference_service_name
from kat_operator.status import AutoThinkServiceStatus
from kat_operator.upgrade import PoolRollout, Rollout, plan_rollout

_FAULT_SECONDS: Final = 10.0
"""A fault that a pod keeps for so long is worth a word; shorter ones come with many a start."""
_STARTS_TO_STUCK: Final = 2.0
"""A pod without any fault of its own counts as stuck after so many times the start-up time that is to be expected."""


def reconcile(rendering: Rendering, observed: Observed, memory: Memory) -> tuple[Plan, Memory]:
    """What is to be done about a service whose spec could be read, and what to hand in at the next look."""
    spec, previous = rendering.spec, AutoThinkServiceStatus.read(observed.service)
    if INFERENCE_SERVICE in observed.missing:
        what_to_do = f"install KServe: the cluster has no InferenceService of {INFERENCE_SERVICE.api_version}"
        return could_not(observed, Reason.KSERVE_MISSING, what_to_do), memory
    memory = _remember(observed, memory)
    asked = _asked(spec, observed, previous)
    ceilings = {pool.name: _ceiling(pool, observed, asked[pool.name]) for pool in spec.pools}
    observation = _observation(observed, memory, previous, current=_current(observed, previous), ceilings=ceilings)
    decision, policy = decide(spec.autoscaling, spec.replicas, memory.policy, observation)
    shares = distribute(
        decision.replicas, [PoolCapacity(pool.name, asked[pool.name], ceilings[pool.name]) for pool in spec.pools]
    )
    rollout = plan_rollout([_rollout(rendering, pool, observed, shares[pool.name]) for pool in spec.pools])
    costs, scale = _scaling(rendering, observed, shares)
    told = report(
        previous,
        generation=observed.service["metadata"]["generation"],
        now=observed.now,
        service=rendering.owner.name,
        spec=spec,
        pools=[_state(rendering, pool, observed, memory, shares[pool.name]) for pool in spec.pools],
        decision=decision,
        metrics=_metrics(observed),
        rollout=rollout,
        think_on_share=None if observed.reading.signals is None else observed.reading.signals.think_on_share,
        startup_seconds=observed.startup_seconds,
    )
    plan = Plan(
        apply=_objects(rendering, observed, shares, rollout),
        status=told.status,
        costs=costs,
        scale=scale,
        delete=_deletions(rendering, observed, decision.replicas),
        transitions=told.transitions,
        decision=decision,
    )
    return plan, replace(memory, policy=policy)


def could_not(observed: Observed, reason: Reason, message: str) -> Plan:
    """Nothing can be done, and what runs is left alone: the status says why."""
    told = failure(
        AutoThinkServiceStatus.read(observed.service),
        generation=observed.service["metadata"]["generation"],
        now=observed.now,
        reason=reason,
        message=message,
    )
    return Plan(apply=(), status=told.status, transitions=told.transitions)


def _remember(observed: Observed, memory: Memory) -> Memory:
    faulty = {
        pod.name: memory.faulty_since.get(pod.name, observed.at)
        for pods in observed.active.values()
        for pod in pods
        if pod.fault is not None
    }
    last = memory.last_request
    signals = observed.reading.signals
    if signals is not None:
        arrivals = sum(mode.arrivals_per_second for mode in signals.modes.values())
        if arrivals > 0 or signals.in_flight > 0 or signals.queued > 0:
            last = observed.at
    return replace(memory, faulty_since=faulty, last_request=last)


def _asked(spec: AutoThinkServiceSpec, observed: Observed, previous: AutoThinkServiceStatus) -> Mapping[str, int]:
    """Replicas that were asked of each pool.

    By the status, since anybody may have scaled a Deployment, and KServe makes one anew with a single replica.
    """
    told = {pool.name: pool.replicas for pool in previous.pools}
    return {
        pool.name: told.get(
            pool.name, _deployed(observed.deployments.get(deployment_name(observed.key.name, pool.name)))
        )
        for pool in spec.pools
    }


def _current(observed: Observed, previous: AutoThinkServiceStatus) -> int:
    if previous.last_decision is not None:
        return previous.desired_replicas
    return sum(_deployed(deployment) for deployment in observed.deployments.values())


def _deployed(deployment: Body | None) -> int:
    return 0 if deployment is None else int(deployment["spec"].get("replicas", 1))


def _ceiling(pool: PoolSpec, observed: Observed, asked: int) -> int:
    """Replicas that the pool can have.

    A place that a pod of ours is about to leave is kept for the one that follows it: in a rollout on a full pool the
    number that was asked for must not shrink with each pod that goes.
    """
    ceiling = _holds(pool, observed)
    return max(ceiling, min(asked, ceiling + observed.terminating.get(pool.name, 0)))


def _holds(pool: PoolSpec, observed: Observed) -> int:
    """Replicas that the pool's nodes can hold, and those that a cluster autoscaler may add."""
    return max(observed.ceiling(pool.name), pool.grows_to or 0)


def _observation(
    observed: Observed,
    memory: Memory,
    previous: AutoThinkServiceStatus,
    *,
    current: int,
    ceilings: Mapping[str, int],
) -> Observation:
    # Pods that were not asked for, or are about to go, are no reason to ask for as many again.
    ready = min(sum(observed.ready.values()), current)
    measured = observed.startup_seconds
    return Observation(
        at=observed.at,
        signals=observed.reading.signals,
        ready=ready,
        starting=current - ready,
        ceiling=sum(ceilings.values()),
        wanted_by_activator=observed.wanted_by_activator,
        startup_seconds=previous.startup_seconds if measured is None else measured,
        since_last_request=None if memory.last_request is None else observed.at - memory.last_request,
    )


def _rollout(rendering: Rendering, pool: PoolSpec, observed: Observed, replicas: int) -> PoolRollout:
    existing = _inference_service(rendering, pool, observed)
    applied = None if existing is None else applied_template(existing)
    pods = observed.active.get(pool.name, ())
    return PoolRollout(
        name=pool.name,
        desired=rendering.template(pool),
        applied=applied,
        strategy=None if existing is None else applied_strategy(existing),
        replicas=replicas,
        updated_ready=sum(pod.ready for pod in pods if pod.template == applied),
        outdated=sum(pod.template != applied for pod in pods),
        terminating=observed.terminating.get(pool.name, 0),
        ceiling=_holds(pool, observed),
    )


def _objects(rendering: Rendering, observed: Observed, shares: Mapping[str, int], rollout: Rollout) -> Sequence[Body]:
    """A pool's InferenceService is first made when a replica is to run there: KServe starts each with one."""
    pools = [
        rendering.inference_service(pool, rollout.strategies[pool.name])
        for pool in rendering.spec.pools
        if pool.name not in rollout.held
        and (shares[pool.name] > 0 or _inference_service(rendering, pool, observed) is not None)
    ]
    monitor = () if POD_MONITOR in observed.missing else (rendering.pod_monitor,)
    activator = () if observed.activator is None else (observed.activator,)
    return (rendering.service, rendering.pod_disruption_budget, *monitor, *activator, *pools)


def _scaling(
    rendering: Rendering, observed: Observed, shares: Mapping[str, int]
) -> tuple[Sequence[DeletionCost], Sequence[Scale]]:
    """Which Deployments change their size.

    One that shrinks waits for the look at which its least busy pods are seen to be marked, since Kubernetes reads the
    marks and the size on different ways.
    """
    costs: list[DeletionCost] = []
    scale: list[Scale] = []
    namespace = rendering.owner.namespace
    for pool in rendering.spec.pools:
        name, share = deployment_name(rendering.owner.name, pool.name), shares[pool.name]
        deployment = observed.deployments.get(name)
        if deployment is None:
            continue
        pods = observed.active.get(pool.name, ())
        shrinks = share < _deployed(deployment)
        # More pods than asked for, without a change of size, is a rollout, or a scale-down that Kubernetes is at.
        settled = shrinks or len(pods) <= share
        marks = _marks(pods, observed, len(pods) - share) if settled else {}
        costs += [DeletionCost(Key(namespace, pod), cost) for pod, cost in marks.items()]
        if share != _deployed(deployment) and not (shrinks and marks):
            scale.append(Scale(Key(namespace, name), share))
    return costs, scale


def _marks(pods: Sequence[PodView], observed: Observed, count: int) -> Mapping[str, int]:
    """Deletion costs to change before `count` of a pool's pods go; none where those that are marked will do."""
    signals = observed.reading.signals
    replicas = () if signals is None else signals.replicas
    candidates = [Candidate(pod.name, pod.ready, pod.deletion_cost) for pod in pods]
    count = max(0, count)
    ready_that_go = sum(pod.ready for pod in candidates if pod.name in victims(candidates, replicas, count))
    marked = sum(pod.ready and pod.deletion_cost < 0 for pod in candidates)
    # Who is least busy changes with every request: once marked, they go.
    if marked == ready_that_go and all(pod.deletion_cost <= 0 for pod in candidates):
        return {}
    return deletion_costs(candidates, replicas, count)


def _deletions(rendering: Rendering, observed: Observed, replicas: int) -> Sequence[Deletion]:
    """Pools that the spec no longer has, once the others carry the load; and a slice that leads to the activator."""
    spec, owner = rendering.spec, rendering.owner
    named = {pool.name for pool in spec.pools}
    carried = sum(observed.ready.get(name, 0) for name in named) >= replicas
    gone = [
        Deletion(kind, Key(owner.namespace, name), body["metadata"]["uid"])
        for (kind, name), body in observed.owned.items()
        if kind == INFERENCE_SERVICE
        and carried
        and _is_ours(body, owner.uid)
        and body["metadata"]["labels"].get(POOL_LABEL) not in named
    ]
    slices = [
        Deletion(kind, Key(owner.namespace, name), body["metadata"]["uid"])
        for (kind, name), body in observed.owned.items()
        # Kubernetes' own slices have the service's label, too.
        if kind == ENDPOINT_SLICE and observed.activator is None and _is_ours(body, owner.uid)
    ]
    return (*gone, *slices)


def _is_ours(body: Body, uid: str) -> bool:
    return any(reference["uid"] == uid for reference in body["metadata"].get("ownerReferences", ()))


def _inference_service(rendering: Rendering, pool: PoolSpec, observed: Observed) -> Body | None:
    return observed.owned.get((INFERENCE_SERVICE, inference_service_name(rendering.owner.name, pool.name)))


def _state(rendering: Rendering, pool: PoolSpec, observed: Observed, memory: Memory, replicas: int) -> PoolState:
    existing = _inference_service(rendering, pool, observed)
    return PoolState(
        name=pool.name,
        replicas=replicas,
        ready=observed.ready.get(pool.name, 0),
        ceiling=_holds(pool, observed),
        template=None if existing is None else applied_template(existing),
        stuck=_stuck(rendering.spec, pool, observed, memory),
    )


def _stuck(spec: AutoThinkServiceSpec, pool: PoolSpec, observed: Observed, memory: Memory) -> str | None:
    longest = _STARTS_TO_STUCK * max(spec.autoscaling.startup_seconds, observed.startup_seconds or 0.0)
    for pod in observed.active.get(pool.name, ()):
        # A node that a cluster autoscaler adds takes minutes, and its pod waits without fault.
        borne = _FAULT_SECONDS if pod.scheduled or pool.grows_to is None else longest
        if pod.fault is not None and observed.at - memory.faulty_since[pod.name] >= borne:
            return f"{pod.fault.reason}: {pod.fault.message}"
        if not pod.ready and (observed.now - pod.created).total_seconds() > longest:
            return f"pod {pod.name} is not ready {longest:.0f} s after its creation"
    return None


def _metrics(observed: Observed) -> MetricsState:
    reading = observed.reading
    reason = Reason(reading.reason.value)
    available = None if reason is Reason.NO_REPLICAS else reading.signals is not None
    return MetricsState(reason, reading.message, available)
