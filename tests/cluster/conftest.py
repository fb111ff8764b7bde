"""One control plane for the session; a namespace and GPU nodes of its own for each test."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from kat_operator.api import SERVICE_LABEL
from tests.fakes.cluster import GpuPool, MakePool, condition
from tests.fakes.cluster_services import Services
from tests.fakes.operator_process import OperatorProcess, install, install_definition, uninstall
from tests.fakes.prometheus import FakePrometheus, ServingPod, fake_prometheus
from tests.fakes.started_control_plane import started_control_plane
from tools.cluster import build
from tools.cluster.api_client import wait_until
from tools.cluster.control_plane import ControlPlane
from tools.cluster.errors import ClusterError
from tools.cluster.images import recipes
from tools.cluster.node.requirements import demand

MakeOperator = Callable[..., OperatorProcess]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build before the first test starts: minutes from nothing, which no test's time limit has room for."""
    if session.config.option.collectonly or not any(item.get_closest_marker("cluster") for item in session.items):
        return
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    say = terminal.write_line if terminal else print
    # What keeps it from building, the fixtures say, test by test.
    with suppress(ClusterError):
        build.binaries(*build.CONTROL_PLANE, *build.KSERVE, say=say)
        if any(item.path.name.startswith("test_chart") for item in session.items):
            build.binaries("helm", say=say)
        if any(item.path.name == "test_readme_cluster.py" for item in session.items):
            build.binaries(*build.FOR_PEOPLE, say=say)
        if any(item.path.name == "test_real_node.py" for item in session.items):
            demand()
            build.binaries(*build.REAL_NODE, say=say)
            recipes.predictor(say=say)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd, API server, controllers, scheduler, kwok and KServe; shared, so a test makes what it needs in `namespace`."""
    with started_control_plane() as cluster:
        yield cluster


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """An empty namespace, ready for pods; deleted after the test, which does not wait for that."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    control_plane.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    wait_until(
        lambda: control_plane.api.exists(f"/api/v1/namespaces/{name}/serviceaccounts/default"),
        seconds=30,
        what=f"default ServiceAccount of {name}",
    )
    yield name
    control_plane.api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def make_pool(control_plane: ControlPlane) -> Iterator[MakePool]:
    """Makes pools of `count` nodes of `gpus` each; they and their pods go after the test."""
    made: list[str] = []

    def make(count: int = 1, *, gpus: int = 8, taints: Sequence[dict[str, str]] = ()) -> GpuPool:
        kind = f"pool-{uuid.uuid4().hex[:8]}"
        selector = {"cluster.kat/pool": kind}
        nodes = control_plane.add_nodes(count, gpus=gpus, kind=kind, labels=selector, taints=taints)
        made.extend(nodes)
        return GpuPool(selector, nodes)

    yield make
    for node in made:
        control_plane.remove_node(node)


@pytest.fixture(scope="session")
def definitions(control_plane: ControlPlane) -> ControlPlane:
    """The cluster with the CRD of AutoThinkService."""
    install_definition(control_plane)
    return control_plane


@pytest.fixture
def operator_kubeconfig(control_plane: ControlPlane, namespace: str) -> Iterator[Path]:
    """Of the operator's ServiceAccount, in the test's namespace, with the rights that the chart grants and no others."""
    yield install(control_plane, namespace)
    uninstall(control_plane, namespace)


@pytest.fixture
def services(definitions: ControlPlane, namespace: str) -> Services:
    """The AutoThinkServices of the test's namespace."""
    return Services(definitions.api, namespace)


@pytest.fixture
def prometheus(control_plane: ControlPlane, namespace: str) -> Iterator[FakePrometheus]:
    """What the ready pods of the test's namespace say of their load; without any `load`, that there is none."""

    def pods() -> list[ServingPod]:
        path = f"/api/v1/namespaces/{namespace}/pods"
        found = control_plane.api.get(path, labelSelector=SERVICE_LABEL)["items"]
        return [
            ServingPod(namespace, pod["metadata"]["labels"][SERVICE_LABEL], pod["metadata"]["name"])
            for pod in found
            if condition(pod, "Ready") == "True"
        ]

    with fake_prometheus(pods) as prometheus:
        yield prometheus


@pytest.fixture
def make_operator(
    operator_kubeconfig: Path, namespace: str, prometheus: FakePrometheus, tmp_path: Path
) -> Iterator[MakeOperator]:
    """Makes operators of the test's namespace, not started; they are stopped after the test."""
    made: list[OperatorProcess] = []

    def make(kubeconfig: Path | None = None, **settings: str) -> OperatorProcess:
        settings = {"KAT_OPERATOR_PROMETHEUS_URL": prometheus.url, **settings}
        made.append(OperatorProcess(kubeconfig or operator_kubeconfig, namespace, tmp_path, **settings))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def operator(make_operator: MakeOperator) -> OperatorProcess:
    """One that runs."""
    started = make_operator()
    started.start()
    return started
