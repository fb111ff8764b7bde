"""A node that really runs pods: containers, logs, names, Services, and nothing left of it at the end."""

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from kat.usage_event import Status
from tests.fakes.alive import is_alive
from tests.fakes.cluster import condition, wait_for_condition
from tests.fakes.metering_for_pods import metering_for_pods
from tests.fakes.predictor import ACME, KEY, directory_of
from tools.cluster.api_client import Json, wait_until
from tools.cluster.build import KUBERNETES_VERSION
from tools.cluster.errors import Unavailable
from tools.cluster.images import recipes
from tools.cluster.node.namespaces import Namespaces
from tools.cluster.node.real_node import RealCluster, real_cluster
from tools.cluster.node.requirements import demand

SECONDS = 120
"""Plenty for a pod that a busy machine starts."""
ASK_THE_API_SERVER = """\
import json, ssl, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount"
token = open(f"{account}/token").read()
request = urllib.request.Request("https://kubernetes.default.svc/version", headers={"Authorization": f"Bearer {token}"})
context = ssl.create_default_context(cafile=f"{account}/ca.crt")
print(json.load(urllib.request.urlopen(request, context=context, timeout=20))["gitVersion"])
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    with ExitStack() as stack:
        try:
            running = stack.enter_context(real_cluster(kserve=False))
        except Unavailable as reason:
            pytest.skip(f"NO TESTS ON A REAL NODE: {reason}")
        yield running


@pytest.fixture
def able() -> None:
    try:
        demand()
    except Unavailable as reason:
        pytest.skip(f"NO TESTS ON A REAL NODE: {reason}")


@pytest.fixture
def namespace(cluster: RealCluster) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:10]}"
    api = cluster.control_plane.api
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_until(lambda: api.exists(account), seconds=SECONDS, what=account)
    yield name
    api.delete(f"/api/v1/namespaces/{name}")


def create_pod(cluster: RealCluster, namespace: str, name: str, container: Json, **spec: object) -> str:
    """The path of a pod of one container on the real node."""
    containers = [{"name": "main", "image": "kat-base:local", "imagePullPolicy": "Never", **container}]
    body = {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeSelector": cluster.NODE_SELECTOR,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": containers,
            **spec,
        },
    }
    cluster.control_plane.api.create(f"/api/v1/namespaces/{namespace}/pods", body)
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def create_service(cluster: RealCluster, namespace: str, pod: str) -> str:
    """Address of a new Service of the pod's name: port 80 for its 8080."""
    service = cluster.control_plane.api.create(
        f"/api/v1/namespaces/{namespace}/services",
        {"metadata": {"name": pod}, "spec": {"selector": {"app": pod}, "ports": [{"port": 80, "targetPort": 8080}]}},
    )
    return str(service["spec"]["clusterIP"])


def wait_served(address: str) -> None:
    """Until kube-proxy has heard of a pod behind a Service, which is some time after the pod is ready."""

    def served() -> bool:
        try:
            with socket.create_connection((address, 80), timeout=1):
                return True
        except OSError:
            return False

    wait_until(served, seconds=SECONDS, what=f"a pod behind {address}")


def output_of(cluster: RealCluster, pod: str) -> str:
    """What a pod printed until it ended."""
    api = cluster.control_plane.api

    def phase() -> str:
        return str(api.get(pod)["status"]["phase"])

    wait_until(lambda: phase() in {"Succeeded", "Failed"}, seconds=SECONDS, what=f"{pod} has ended")
    log = api.text(f"{pod}/log")
    assert phase() == "Succeeded", log
    return log


def traces(namespaces: Namespaces) -> list[str]:
    """What the machine shows of a node."""
    link = Path("/sys/class/net", namespaces.network.link)
    groups = Path("/sys/fs/cgroup").glob(f"**/{namespaces.cgroups.name}")
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if "kat-node" in line]
    routes = [line for line in Path("/proc/net/route").read_text().splitlines() if namespaces.network.link in line]
    return [*(str(path) for path in (link, namespaces.folder, *groups) if path.exists()), *mounts, *routes]


def test_a_pods_output_can_be_read(cluster: RealCluster, namespace: str) -> None:
    pod = create_pod(cluster, namespace, "speaks", {"command": ["echo", "here I am"]})

    assert output_of(cluster, pod) == "here I am\n"


def test_a_pod_reaches_the_api_server_by_its_name(cluster: RealCluster, namespace: str) -> None:
    pod = create_pod(cluster, namespace, "asks", {"command": ["python3", "-c", ASK_THE_API_SERVER]})

    assert output_of(cluster, pod) == f"v{KUBERNETES_VERSION}\n"


def test_a_pod_reaches_another_through_its_service(cluster: RealCluster, namespace: str) -> None:
    server = {
        "command": ["sh", "-c", "cd /tmp && echo welcome > index.html && exec python3 -m http.server 8080"],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    address = create_service(cluster, namespace, "web")
    path = create_pod(cluster, namespace, "web", server)
    wait_for_condition(cluster.control_plane.api, path, "Ready", "True")
    wait_served(address)
    url = f"http://web.{namespace}.svc.cluster.local"
    fetch = f"import urllib.request; print(urllib.request.urlopen('{url}', timeout=20).read().decode(), end='')"

    pod = create_pod(cluster, namespace, "visitor", {"command": ["python3", "-c", fetch]})

    assert output_of(cluster, pod) == "welcome\n"


def test_the_kubelet_answers_the_api_server(cluster: RealCluster, namespace: str) -> None:
    """By its address, for its name is known nowhere, and to nobody without a certificate."""
    pod = create_pod(cluster, namespace, "sleeps", {"command": ["sleep", "infinity"]})
    wait_for_condition(cluster.control_plane.api, pod, "Ready", "True")

    told = cluster.control_plane.api.get(f"/api/v1/nodes/{cluster.node}/proxy/pods")["items"]

    assert "sleeps" in {each["metadata"]["name"] for each in told}
    kubelet = f"https://{cluster.namespaces.network.node}:10250/pods"
    assert httpx.get(kubelet, verify=False).status_code == httpx.codes.UNAUTHORIZED


@pytest.mark.timeout(600)
def test_the_predictor_answers_through_a_service(cluster: RealCluster, namespace: str) -> None:
    cluster.load(recipes.predictor())
    address = create_service(cluster, namespace, "predictor")
    with metering_for_pods(str(cluster.namespaces.network.machine), directory_of(ACME)) as metering:
        environment = {"KAT_METERING_URL": metering.url, "KAT_SERVICE_TOKEN": "a-token", "KAT_HOME": "/state"}
        container = {
            "image": f"kat-predictor:{recipes.TAG}",
            "env": [{"name": name, "value": value} for name, value in environment.items()],
            "volumeMounts": [{"name": "state", "mountPath": "/state"}, {"name": "tmp", "mountPath": "/tmp"}],
            "readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": 8080}, "periodSeconds": 1},
            "securityContext": {"readOnlyRootFilesystem": True, "runAsNonRoot": True},
        }
        volumes: list[Json] = [{"name": name, "emptyDir": {}} for name in ("state", "tmp")]
        pod = create_pod(cluster, namespace, "predictor", container, volumes=volumes, securityContext={"fsGroup": 1000})
        api = cluster.control_plane.api
        wait_until(lambda: condition(api.get(pod), "Ready") == "True", seconds=SECONDS, what=f"{pod} is ready")
        wait_served(address)

        answer = httpx.post(
            f"http://{address}/v1/chat/completions",
            headers={"Authorization": f"Bearer {KEY}"},
            json={"model": "smollm2-135m", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 8},
            timeout=SECONDS,
        )

        assert answer.status_code == httpx.codes.OK, answer.text
        wait_until(lambda: metering.events, seconds=SECONDS, what="its usage event")
        (event,) = metering.events
        assert event.data.status in {Status.OK, Status.LENGTH}
        assert event.data.tokens.completion == answer.json()["usage"]["completion_tokens"]


@pytest.mark.usefixtures("able")
def test_a_node_that_was_stopped_leaves_nothing() -> None:
    with Namespaces.start() as node:
        inner = subprocess.Popen(node.argv("sh", "-c", "echo in; exec sleep infinity"), stdout=subprocess.PIPE)
        assert inner.stdout is not None
        inner.stdout.readline()
        assert traces(node)

    inner.communicate(timeout=SECONDS)
    assert traces(node) == []


@pytest.mark.usefixtures("able")
def test_a_node_whose_owner_was_killed_leaves_nothing_once_another_starts() -> None:
    script = """
import json, signal
from tools.cluster.node.namespaces import Namespaces
node = Namespaces.start()
print(json.dumps([node.network.number, str(node.folder), node._first.pid]), flush=True)
signal.pause()
"""
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    number, folder, first = json.loads(owner.stdout.readline())

    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()

    wait_until(lambda: not is_alive(first), seconds=SECONDS, what="the node's first process has ended")
    link = Path(f"/sys/class/net/kat-node{number}")
    wait_until(lambda: not link.exists(), seconds=SECONDS, what="its link has gone")
    with Namespaces.start():
        assert not list(Path("/sys/fs/cgroup").glob(f"**/{Path(folder).name}"))
        assert not Path(folder).exists()


def test_ip_forwarding_of_the_machine_is_left_alone(cluster: RealCluster) -> None:
    forwards = Path("/proc/sys/net/ipv4/ip_forward").read_text()

    inside = cluster.namespaces.run("cat", "/proc/sys/net/ipv4/ip_forward")

    assert inside == "1\n"
    assert forwards == Path("/proc/sys/net/ipv4/ip_forward").read_text()


@pytest.mark.usefixtures("able")
def test_two_nodes_stand_side_by_side() -> None:
    with Namespaces.start() as one, Namespaces.start() as other:
        assert one.network != other.network
        assert traces(one)

        other.stop()

        assert traces(one)
        assert one.run("cat", "/proc/sys/net/ipv4/ip_forward") == "1\n"
