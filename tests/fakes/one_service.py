"""One service called kat and what a look finds of it, for tests of what is then to be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kat_operator.activator import activator_endpoint_slice
from kat_operator.api import ConditionType
from kat_operator.autoscaler.observation import Signals
from kat_operator.autoscaler.series import Reading
from kat_operator.autoscaler.series import Reason as ReadingReason
from kat_operator.crd import read_spec
from kat_operator.kinds import INFERENCE_SERVICE, Kind, key_of, kind_of
from kat_operator.observed import Memory, Observed
from kat_operator.plan import Plan
from kat_operator.pod_view import PodView
from kat_operator.predictor_pod import PredictorOptions
from kat_operator.reconcile import reconcile
from kat_operator.rendering import Rendering
from kat_operator.resources import Owner, deployment_name, inference_service_name
from kat_operator.status import AutoThinkServiceStatus
from kat_operator.upgrade import Strategy
from tests.fakes.clock import Clock
from tests.fakes.cluster import GpuPool
from tests.fakes.cluster_services import a_service

NOBODY = Reading(None, ReadingReason.NO_REPLICAS, "no replica is ready")
LOST = Reading(None, ReadingReason.MISSING, "nothing has metrics")


def found(signals: Signals) -> Reading:
    return Reading(signals, ReadingReason.FOUND, "1 s old")


def a_pod(name: str, rendering: Rendering, *, pool: str = "p0", ready: bool = True, **seen: Any) -> PodView:
    pod = PodView(
        name=name,
        pool=pool,
        template=rendering.template(next(each for each in rendering.spec.pools if each.name == pool))
        if any(each.name == pool for each in rendering.spec.pools)
        else "gone",
        ip="10.0.0.1",
        ready=ready,
        terminating=False,
        scheduled=True,
        deletion_cost=0,
        created=Clock().now(),
        startup_seconds=20.0 if ready else None,
        fault=None,
    )
    return replace(pod, **seen)


@dataclass
class World:
    """A service called kat and what there is of it; `look` is one look, whose status the next one finds."""

    pools: Sequence[str] = ("p0",)
    spec: Mapping[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    deployments: dict[str, int] = field(default_factory=dict)
    """Replicas by pool."""
    pods: list[PodView] = field(default_factory=list)
    room: dict[str, int] = field(default_factory=lambda: {"p0": 8, "p1": 8})
    missing: frozenset[Kind] = frozenset()
    reading: Reading = NOBODY
    owned: dict[tuple[Kind, str], Mapping[str, Any]] = field(default_factory=dict)
    activator: bool = False
    wanted: bool = False
    memory: Memory = field(default_factory=Memory)
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def service(self) -> dict[str, Any]:
        body = a_service("kat", *(GpuPool({"pool": name}, []) for name in self.pools), **self.spec)
        body["metadata"] |= {"namespace": "default", "uid": "uid-1", "generation": 3}
        return {**body, "status": self.status}

    @property
    def rendering(self) -> Rendering:
        owner = Owner("default", "kat", "uid-1")
        return Rendering(owner, read_spec(self.service), PredictorOptions(image="predictor:1"))

    def runs(self, pool: str = "p0", *, replicas: int, ready: int | None = None) -> None:
        """The pool has its InferenceService, its Deployment and its pods."""
        rendering = self.rendering
        spec = next(each for each in rendering.spec.pools if each.name == pool)
        body = dict(rendering.inference_service(spec, Strategy.SURGE))
        body["metadata"] = {**body["metadata"], "uid": f"uid-{pool}", "resourceVersion": "1"}
        self.owned[INFERENCE_SERVICE, inference_service_name("kat", pool)] = body
        self.deployments[pool] = replicas
        ready = replicas if ready is None else ready
        self.pods += [a_pod(f"{pool}-{n}", rendering, pool=pool, ready=n < ready) for n in range(replicas)]

    def look(self) -> Plan:
        body = self.service
        plan, self.memory = reconcile(
            self.rendering,
            Observed(
                service=body,
                now=self.clock.now(),
                at=self.clock.monotonic(),
                owned=self.owned,
                deployments={
                    deployment_name("kat", pool): {"spec": {"replicas": replicas}}
                    for pool, replicas in self.deployments.items()
                },
                pods=self.pods,
                room=self.room,
                missing=self.missing,
                reading=self.reading,
                wanted_by_activator=self.wanted,
                activator=activator_endpoint_slice(body, "10.0.0.9", 8082, [pod.name for pod in self.pods if pod.ready])
                if self.activator
                else None,
            ),
            self.memory,
        )
        self.status = plan.status.to_json()
        return plan

    def look_for(self, seconds: float) -> Plan:
        """One look a second; the last one's plan."""
        plan = self.look()
        for _second in range(int(seconds)):
            self.clock.advance(1.0)
            plan = self.look()
        return plan


def applied(plan: Plan) -> set[tuple[str, str]]:
    return {(kind_of(body).kind, key_of(body).name) for body in plan.apply}


def told(status: AutoThinkServiceStatus, type_: ConditionType) -> tuple[str, str]:
    condition = status.condition(type_)
    assert condition is not None
    return condition.status, condition.reason
