"""The chart on a node that really runs pods: one installation for all tests of the folder."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.fakes.cluster_services import Services
from tests.fakes.helm import CHART, Helm
from tests.fakes.installation import EXAMPLE, NAMESPACE, POOL, RELEASE, SERVICE, TENANT, Installation, address_of
from tests.fakes.kat_command import kat
from tools.cluster import build
from tools.cluster.api_client import ApiClient, Json, wait_until
from tools.cluster.errors import ClusterError, Unavailable
from tools.cluster.images import recipes
from tools.cluster.images.archive import Image
from tools.cluster.images.debian import Say, silent
from tools.cluster.images.postgres import postgres
from tools.cluster.node import kserve_pod
from tools.cluster.node.local_volume import add_volume
from tools.cluster.node.real_node import RealCluster, real_cluster
from tools.cluster.node.requirements import demand

HERE: Final = Path(__file__).parent
SECONDS: Final = 300
"""Plenty for any pod to be ready on a busy machine: metering waits for Postgres, predictors for metering."""
STORAGE: Final = "1Gi"
AUTOSCALING: Final = {
    "requestsPerReplica": 4,
    "intervalSeconds": 1,
    # What one test's load has raised is gone before the next one begins.
    "scaleDownWindowSeconds": 10,
    "surgeMemorySeconds": 0,
    # As slow as two cores are: replicas follow the number of requests alone.
    "objectives": {"timeToFirstAnswerTokenOnSeconds": 300, "timeToFirstAnswerTokenOffSeconds": 300},
}
LAST: Final = "test_uninstall.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In whatever order, but one after the other, and after what needs no node: each would start a cluster of its own.

    Last of all comes what takes the installation away.
    """
    items.sort(key=lambda item: (item.path.parent == HERE, item.path == HERE / LAST))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build before the first test starts: minutes from nothing, which no test's time limit has room for."""
    if session.config.option.collectonly or not any(item.path.parent == HERE for item in session.items):
        return
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    # What keeps it from building, the fixture says.
    with suppress(ClusterError):
        demand()
        say = terminal.write_line if terminal else print
        build.binaries(*build.CONTROL_PLANE, *build.REAL_NODE, *build.KSERVE, "helm", say=say)
        build.kserve_charts(say)
        _images(say)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The release of `examples/cpu-trial.yaml`, its AutoThinkService Ready with one replica."""
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(real_cluster(kserve=False))
        except Unavailable as reason:
            pytest.skip(f"NO TESTS ON A REAL NODE: {reason}")
        kserve_pod.install(cluster)
        cluster.load(*_images())
        kserve_pod.wait_ready(cluster)
        add_volume(cluster, "postgres", size=STORAGE)
        api = cluster.control_plane.api
        label = {"pod-security.kubernetes.io/enforce": "restricted"}
        api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": label}})
        helm = Helm(tmp_path_factory.mktemp("helm"), kubeconfig=cluster.control_plane.kubeconfig)
        values = _values(cluster.NODE_SELECTOR)
        helm.run("install", RELEASE, CHART, "--namespace", NAMESPACE, "--values", EXAMPLE, values=values)
        yield _running(cluster, helm, values)


def _running(cluster: RealCluster, helm: Helm, values: Json) -> Installation:
    """Wait for all of it, and make the tenant and its key as the release's notes say."""
    api = cluster.control_plane.api
    metering_url = f"http://{address_of(api, 'kat-metering')}"
    tokens = _secret(api, "kat-tokens")
    services = Services(api, NAMESPACE)
    wait_until(
        lambda: services.told(SERVICE, "Ready")[0] == "True", seconds=SECONDS, what=f"AutoThinkService {SERVICE} ready"
    )
    environment = {"KAT_METERING_URL": metering_url, "KAT_ADMIN_TOKEN": tokens["admin-token"]}
    kat("tenants", "create", TENANT, "--name", "Acme", **environment)
    made = kat("keys", "create", TENANT, "--project", "first", "--name", "first", **environment)
    url, key = f"http://{address_of(api, SERVICE)}", made.split()[-1]
    wait_until(lambda: _is_known(url, key), seconds=SECONDS, what="the key is known")
    password = _secret(api, "kat-postgres")["password"]
    return Installation(
        cluster=cluster,
        helm=helm,
        values=values,
        url=url,
        api_key=key,
        metering_url=metering_url,
        admin_token=tokens["admin-token"],
        service_token=tokens["service-token"],
        database_url=f"postgresql://kat:{password}@{address_of(api, 'kat-postgres')}/kat",
    )


def _is_known(url: str, key: str) -> bool:
    """Predictors look for new keys every few seconds; their Service leads to them a moment after they are ready."""
    try:
        answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=SECONDS)
    except httpx.TransportError:
        return False
    return answer.is_success


def _images(say: Say = silent) -> Sequence[Image]:
    return recipes.operator(say=say), recipes.metering(say=say), recipes.predictor(say=say), postgres(say=say)


def _values(node: dict[str, str]) -> Json:
    """What differs from the example: images of this machine, the node that runs pods, and two cores for everything."""

    def image(name: str) -> dict[str, str]:
        return {"repository": name, "tag": recipes.TAG, "pullPolicy": "Never"}

    def part(name: str) -> Json:
        return {"image": image(name), "nodeSelector": node, "resources": {"requests": {"cpu": "50m"}}}

    pool = {"name": POOL, "gpusPerReplica": 0, "nodeSelector": node, "cpu": "200m", "memory": "2Gi"}
    return {
        "operator": part("kat-operator"),
        "metering": part("kat-metering"),
        "predictor": {"image": image("kat-predictor")},
        "database": {
            "trial": {"image": image("postgres"), "storage": STORAGE, "resources": {"requests": {"cpu": "50m"}}}
        },
        "services": {SERVICE: {"pools": [pool], "autoscaling": AUTOSCALING}},
    }


def _secret(api: ApiClient, name: str) -> dict[str, str]:
    data = api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}")["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}
