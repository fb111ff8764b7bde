"""Why a service has as many replicas as it has, for people and as JSON. Pure, from what the operator reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kat.usage_event import Mode
from kat_operator.api import AutoThinkServiceSpec, ConditionType
from kat_operator.autoscaler import history
from kat_operator.autoscaler.observation import Observation, Signals, Wish
from kat_operator.autoscaler.policy import PolicyState, decide
from kat_operator.status import AutoThinkServiceStatus

BOUNDS: Final[Mapping[str, str]] = {
    "hold": "without metrics what runs is held, up to replicas.max",
    "band": "the excess is within the band that keeps chance from changing anything",
    "window": "something within scaleDownWindowSeconds needed more, or not all of it has been seen",
    "regret": "a step down from here had to be taken back within an hour, so it is not tried again for two",
    "pace": "a replica has just gone, the next one goes later",
    "step": "replicas go one at a time",
    "min": "replicas.min, or one replica until the service has been idle for idleToZeroSeconds",
    "max": "replicas.max, which holds with and without metrics",
    "ceiling": "what the pools' nodes can hold",
}
"""What may change the largest wish, by the name that the status gives it."""


def explain(service: Mapping[str, Any]) -> dict[str, Any]:
    """The last decision, what it was made of and what bounded it, from an AutoThinkService as the API server has it.

    `decision` is None where none has been reported yet.
    """
    status = AutoThinkServiceStatus.read(service)
    decision = status.last_decision
    return {
        "namespace": service["metadata"]["namespace"],
        "name": service["metadata"]["name"],
        "replicas": {"desired": status.desired_replicas, "asked": status.replicas, "ready": status.ready_replicas},
        "thinkOnShare": status.think_on_share,
        "startupSeconds": status.startup_seconds,
        "pools": [pool.model_dump(mode="json", by_alias=True, exclude={"template"}) for pool in status.pools],
        "conditions": [
            condition.model_dump(mode="json", by_alias=True, include={"type", "status", "reason", "message"})
            for type_ in (ConditionType.METRICS_AVAILABLE, ConditionType.CAPACITY_LIMITED)
            if (condition := status.condition(type_)) is not None
        ],
        "decision": None
        if decision is None
        else {
            "reason": decision.reason,
            "message": decision.message,
            "since": decision.model_dump(mode="json")["time"],
            "wishes": [wish.model_dump(mode="json", by_alias=True) for wish in decision.wishes],
            "bounds": [{"name": name, "means": BOUNDS.get(name, "")} for name in decision.bounds],
        },
    }


def explain_now(service: Mapping[str, Any], signals: Signals) -> dict[str, Any]:
    """Signals of this moment, and what the laws make of them.

    Without the operator's memory: nothing is smoothed, and there is no trend and no surge of the past.
    """
    spec = AutoThinkServiceSpec.model_validate(service["spec"])
    status = AutoThinkServiceStatus.read(service)
    observation = Observation(
        at=0.0,
        signals=signals,
        ready=status.ready_replicas,
        starting=max(0, status.replicas - status.ready_replicas),
        ceiling=sum(pool.ceiling for pool in status.pools),
        startup_seconds=status.startup_seconds,
    )
    state = PolicyState(history=history.record((), 0.0, slots=0.0, arriving=0.0, ready=status.ready_replicas))
    decision, _ = decide(spec.autoscaling, spec.replicas, state, observation)
    return {"signals": _signals(signals), "wishes": [_wish(wish) for wish in decision.wishes]}


def _wish(wish: Wish) -> dict[str, Any]:
    return {"law": wish.law, "replicas": round(wish.replicas, 2), "because": wish.because}


def _signals(signals: Signals) -> dict[str, Any]:
    return {
        "thinkOnShare": signals.think_on_share,
        "inFlight": signals.in_flight,
        "queued": signals.queued,
        "rejectedPerSecond": signals.rejected_per_second,
        "secondsPerToken": signals.seconds_per_token,
        "modes": {
            str(mode): {
                "arrivalsPerSecond": of_mode.arrivals_per_second,
                "inFlight": of_mode.in_flight,
                "tokensPerRequest": of_mode.tokens_per_request,
                "secondsPerRequest": of_mode.seconds_per_request,
                "timeToFirstAnswerTokenSeconds": of_mode.time_to_first_answer_token,
            }
            for mode in Mode
            if (of_mode := signals.modes.get(mode)) is not None
        },
        "replicas": [
            {
                "pod": replica.pod,
                "inFlight": replica.in_flight,
                "queued": replica.queued,
                "kvCacheUsage": replica.kv_cache_usage,
            }
            for replica in sorted(signals.replicas, key=lambda replica: replica.pod)
        ],
    }
