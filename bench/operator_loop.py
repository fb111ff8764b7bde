"""How fast the operator brings many services up, what it costs at rest, and how soon it acts on a change of load.

    .venv/bin/python bench/operator_loop.py [--json] [--services 200] [--rest 60]

A real control plane on this machine (see tools/cluster), KServe's own controller, nodes and pods that kwok plays, and
a Prometheus that answers for every pod. The operator runs as its own process, under its own ServiceAccount. All of that
shares this machine's cores. A service is reconciled when all its objects are there and its status tells of its spec;
until it is ready is KServe's time, too, whose controller takes one InferenceService at a time. At rest means that every
service is looked at with each interval, and its load read, while nothing changes.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from tests.fakes.operator_process import OperatorProcess, install
from tests.fakes.prometheus import FakePrometheus, Load, ServingPod, fake_prometheus
from tools.cluster.api_client import wait_until
from tools.cluster.control_plane import ControlPlane

_NAMESPACE: Final = "bench"
_GPUS: Final = 8
_INTERVAL_SECONDS: Final = 5
_CHANGES: Final = 5
_SERVICES: Final = f"/apis/autothink.dev/v1alpha1/namespaces/{_NAMESPACE}/autothinkservices"
_INFERENCE: Final = f"/apis/serving.kserve.io/v1beta1/namespaces/{_NAMESPACE}/inferenceservices"
_PODS: Final = f"/api/v1/namespaces/{_NAMESPACE}/pods"
_WAIT_SECONDS: Final = 900


@dataclass(frozen=True)
class _Usage:
    """Of one process."""

    cpu_seconds: float
    rss_mib: float


def _usage(pid: int) -> _Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return _Usage(ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def _service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "autothink.dev/v1alpha1",
        "kind": "AutoThinkService",
        "metadata": {"name": name, "namespace": _NAMESPACE},
        "spec": {
            "model": {"uri": "default", "image": "predictor:1"},
            "pools": [{"name": "gpu", "gpusPerReplica": 1, "cpu": "1", "memory": "1Gi"}],
            "replicas": {"min": 1, "max": 2},
            "autoscaling": {"intervalSeconds": _INTERVAL_SECONDS, "requestsPerReplica": 32},
            "metering": {"url": "http://metering:8090", "serviceToken": {"name": "metering", "key": "token"}},
        },
    }


def _reconciled(cluster: ControlPlane) -> int:
    """Services whose InferenceService is there, and whose status was told of their spec: all that the operator does."""
    made = {body["metadata"]["labels"]["autothink.dev/service"] for body in cluster.api.get(_INFERENCE)["items"]}
    return sum(
        body["metadata"]["name"] in made
        and body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
        for body in cluster.api.get(_SERVICES)["items"]
    )


def _ready(cluster: ControlPlane) -> int:
    """Services that KServe, too, has done its part for."""
    found = cluster.api.get(_SERVICES)["items"]
    return sum(
        any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in body.get("status", {}).get("conditions", ())
        )
        for body in found
    )


def _serving(cluster: ControlPlane) -> list[ServingPod]:
    return [
        ServingPod(_NAMESPACE, pod["metadata"]["labels"]["autothink.dev/service"], pod["metadata"]["name"])
        for pod in cluster.api.get(_PODS, labelSelector="autothink.dev/service")["items"]
    ]


def _until(count: Callable[[], int], wanted: int, started: float, what: str) -> float:
    """Seconds since `started` when so many are counted."""
    while (found := count()) < wanted:
        if time.perf_counter() - started > _WAIT_SECONDS:
            raise SystemExit(f"{found} of {wanted} services were {what} after {_WAIT_SECONDS} s")
        time.sleep(0.5)
    return time.perf_counter() - started


def _from_nothing(cluster: ControlPlane, names: Sequence[str]) -> tuple[float, float]:
    """Seconds until every service is reconciled, and until every one is ready, from the creation of the first one."""
    started = time.perf_counter()
    for name in names:
        cluster.api.create(_SERVICES, _service(name))
    reconciled = _until(lambda: _reconciled(cluster), len(names), started, "reconciled")
    return reconciled, _until(lambda: _ready(cluster), len(names), started, "ready")


def _at_rest(operator: OperatorProcess, seconds: float) -> tuple[float, float, float]:
    """CPU of a core in per cent, the largest resident set in MiB, and looks at a service a second."""
    looks = operator.metric("kat_operator_reconcile_seconds_count")
    before, started, largest = _usage(operator.part.pid), time.perf_counter(), 0.0
    while time.perf_counter() - started < seconds:
        time.sleep(1)
        largest = max(largest, _usage(operator.part.pid).rss_mib)
    took = time.perf_counter() - started
    used = _usage(operator.part.pid).cpu_seconds - before.cpu_seconds
    return 100 * used / took, largest, (operator.metric("kat_operator_reconcile_seconds_count") - looks) / took


def _seconds_to_act(cluster: ControlPlane, prometheus: FakePrometheus, name: str, phase: random.Random) -> float:
    """From Prometheus knowing of more load, at any moment of the interval, until the Deployment asks for a replica."""
    time.sleep(phase.uniform(0, _INTERVAL_SECONDS))
    path = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments/{name}-gpu-predictor"
    started = time.perf_counter()
    prometheus.load(_NAMESPACE, name, Load(in_flight_on=1_000))
    wait_until(lambda: cluster.api.get(path)["spec"]["replicas"] == 2, seconds=60, what=f"{name} scaled")
    return time.perf_counter() - started


@contextmanager
def _running(cluster: ControlPlane, pods: list[ServingPod]) -> Iterator[tuple[OperatorProcess, FakePrometheus]]:
    with fake_prometheus(lambda: pods) as prometheus:
        operator = OperatorProcess(
            install(cluster, _NAMESPACE),
            _NAMESPACE,
            cluster.folder / "logs",
            KAT_OPERATOR_PROMETHEUS_URL=prometheus.url,
        )
        operator.start()
        try:
            yield operator, prometheus
        finally:
            operator.stop()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object on one line.")
@click.option("--services", default=200, show_default=True, help="AutoThinkServices.")
@click.option("--rest", default=60.0, show_default=True, help="Seconds at rest.")
def main(*, as_json: bool, services: int, rest: float) -> None:
    """Measure the operator."""
    names = [f"kat-{number}" for number in range(services)]
    pods: list[ServingPod] = []
    with ControlPlane.start(Path(tempfile.mkdtemp(prefix="kat-bench-"))) as cluster:
        cluster.api.create("/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
        # Room for two replicas of each.
        cluster.add_nodes(-(-2 * services // _GPUS), gpus=_GPUS)
        with _running(cluster, pods) as (operator, prometheus):
            wait_until(lambda: operator.leads, seconds=30, what="the operator leads")
            reconciled, ready = _from_nothing(cluster, names)
            print(
                f"{services} services from nothing until all are reconciled: {reconciled:.1f} s; "
                f"until KServe's controller has made all of them ready: {ready:.1f} s"
            )
            pods += _serving(cluster)
            # What the start left to do, statuses and metrics among it, is done by then.
            time.sleep(3 * _INTERVAL_SECONDS)
            percent, rss, looks = _at_rest(operator, rest)
            print(f"at rest, {looks:.0f} looks/s: {percent:.1f} % of a core, {rss:.0f} MiB resident")
            phase = random.Random(1)
            acts = [_seconds_to_act(cluster, prometheus, name, phase) for name in names[:_CHANGES]]
            print(
                f"from a change of the metrics to the scaled Deployment, interval {_INTERVAL_SECONDS} s: "
                f"median {statistics.median(acts):.2f} s, slowest {max(acts):.2f} s"
            )
    if as_json:
        result = {
            "benchmark": "operator_loop",
            "python": platform.python_version(),
            "services": services,
            "seconds_200": round(reconciled, 1),
            "seconds_until_ready": round(ready, 1),
            "steady_cpu_percent": round(percent, 2),
            "looks_per_second": round(looks, 1),
            "rss_mib": round(rss, 1),
            "seconds_to_act": round(max(acts), 2),
            "interval_seconds": _INTERVAL_SECONDS,
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
