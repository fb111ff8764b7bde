"""The autoscaler on a real control plane, fed by a real Prometheus. The pods are played, and so are their metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from kat.processes import port_or_free
from kat.usage_event import Mode
from tests.fakes.cluster import SECONDS, GpuPool, MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess
from tests.fakes.real_prometheus import need_prometheus, running_prometheus, write_past
from tests.fakes.replicas import Load, Replica, exported, past_of
from tools.cluster.api_client import Json, wait_until

MakeOperator = Callable[..., OperatorProcess]
INTERVAL: Final = 5.0
SCRAPE: Final = 0.5
AUTOSCALING: Final = {
    # So that latency, which is no subject here, asks for nothing.
    "objectives": {"timeToFirstAnswerTokenOnSeconds": 600, "timeToFirstAnswerTokenOffSeconds": 600},
    "requestsPerReplica": 32,
    "intervalSeconds": INTERVAL,
    "scaleDownWindowSeconds": 600,
    "startupSeconds": 5,
}
RUNNING: Final = 18
FEW_THINK: Final = Load(thinks=0.2, answers=1.8, in_flight=RUNNING, queued=0)
MANY_THINK: Final = Load(thinks=1.2, answers=0.8, in_flight=RUNNING, queued=0)
"""As many requests a second, of which six in ten think instead of one; nothing has piled up yet."""


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    need_prometheus()


def served(pool: GpuPool, **spec: Any) -> Json:
    return a_service("kat", pool, graceSeconds=900, **{"autoscaling": AUTOSCALING, **spec})


def desired(services: Services) -> int:
    return int(services.get("kat").get("status", {}).get("desiredReplicas", 0))


def think_on_share(services: Services) -> Any:
    return services.get("kat").get("status", {}).get("thinkOnShare")


def the_pod(services: Services) -> str:
    services.wait_ready("kat", 1)
    (pod,) = services.ready_pods("kat")
    return str(pod["metadata"]["name"])


def test_a_change_of_the_metrics_acts_within_one_interval(
    services: Services, make_pool: MakePool, make_operator: MakeOperator, tmp_path: Path
) -> None:
    replicas: dict[str, Replica] = {}
    with (
        exported(replicas, services.namespace) as address,
        running_prometheus(tmp_path, targets={address: {}}, interval=f"{SCRAPE * 1_000:.0f}ms", honor_labels=True) as (
            _,
            url,
        ),
    ):
        make_operator(KAT_OPERATOR_PROMETHEUS_URL=url).start()
        services.create(served(make_pool(4)))
        replica = replicas[the_pod(services)] = Replica()
        services.wait_told("kat", "MetricsAvailable", "True", "MetricsFound")
        replica.runs(Mode.ON, 32)
        replica.queued = 60
        changed = time.monotonic()
        wait_until(
            lambda: services.api.get(services.deployment("kat"))["spec"]["replicas"] > 1,
            seconds=SECONDS,
            what="more replicas for requests that wait",
        )
        # On top of the interval: until Prometheus has it, and a machine that tests share.
        assert time.monotonic() - changed < INTERVAL + SCRAPE + 1.5


def test_a_shift_towards_thinking_scales_out_before_requests_pile_up(
    services: Services, make_pool: MakePool, make_operator: MakeOperator, tmp_path: Path
) -> None:
    before, after, port = tmp_path / "before", tmp_path / "after", port_or_free(0)
    for folder in (before, after):
        folder.mkdir()
    make_operator(KAT_OPERATOR_PROMETHEUS_URL=f"http://127.0.0.1:{port}").start()
    services.create(served(make_pool(4), autoscaling={**AUTOSCALING, "intervalSeconds": 1}))
    pod = the_pod(services)
    write_past(before, past_of({pod: [(300, FEW_THINK)]}, namespace=services.namespace))
    with running_prometheus(before, port=port):
        wait_until(lambda: think_on_share(services) == "10 %", seconds=SECONDS, what="one in ten thinks")
        assert desired(services) == 1
    shifted = [(300.0, FEW_THINK), (65.0, MANY_THINK)]
    write_past(after, past_of({pod: shifted}, namespace=services.namespace))
    with running_prometheus(after, port=port):
        wait_until(lambda: desired(services) > 1, seconds=SECONDS, what="more replicas for longer requests")
    decision = services.get("kat")["status"]["lastDecision"]
    assert decision["reason"] == "InFlightLoad"
    assert f"{RUNNING} in flight" in " ".join(wish["because"] for wish in decision["wishes"])


def test_a_prometheus_that_scrapes_no_more_is_stale_and_holds_what_runs(
    services: Services, make_pool: MakePool, make_operator: MakeOperator, tmp_path: Path
) -> None:
    port = port_or_free(0)
    make_operator(KAT_OPERATOR_PROMETHEUS_URL=f"http://127.0.0.1:{port}").start()
    services.create(
        served(make_pool(4), replicas={"min": 3, "max": 8}, autoscaling={**AUTOSCALING, "intervalSeconds": 1})
    )
    services.wait_ready("kat", 3)
    pods = [pod["metadata"]["name"] for pod in services.ready_pods("kat")]
    services.change("kat", replicas={"min": 1}, autoscaling={"scaleDownWindowSeconds": 1})
    idle = {pod: [(300.0, Load())] for pod in pods}
    write_past(tmp_path, past_of(idle, namespace=services.namespace, ended_ago=60))
    with running_prometheus(tmp_path, port=port):
        services.wait_told("kat", "MetricsAvailable", "False", "MetricsStale")
        held = services.get("kat")["status"]
    assert (held["desiredReplicas"], held["lastDecision"]["reason"]) == (3, "MetricsMissing")
