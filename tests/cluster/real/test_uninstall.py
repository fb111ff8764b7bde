"""What `helm uninstall` leaves on a real node. The last test of the folder: the others need what it takes away."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from tests.fakes.cluster_services import Services
from tests.fakes.helm import CHART
from tests.fakes.installation import EXAMPLE, NAMESPACE, POOL, RELEASE, SERVICE, TENANT, Installation, address_of
from tools.cluster.api_client import wait_until

pytestmark = pytest.mark.timeout(900)

SECONDS: Final = 180
"""Plenty for pods that end or start on a busy machine."""
NAMESPACED: Final = f"namespaces/{NAMESPACE}"
STAYS: Final = (
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/autothinkservices.autothink.dev",
    f"/api/v1/{NAMESPACED}/secrets/kat-tokens",
    f"/api/v1/{NAMESPACED}/secrets/kat-postgres",
    f"/api/v1/{NAMESPACED}/persistentvolumeclaims/data-kat-postgres-0",
)
GOES: Final = (
    f"/apis/apps/v1/{NAMESPACED}/deployments/kat-operator",
    f"/apis/apps/v1/{NAMESPACED}/deployments/kat-metering",
    f"/apis/apps/v1/{NAMESPACED}/statefulsets/kat-postgres",
    f"/apis/apps/v1/{NAMESPACED}/deployments/{SERVICE}-{POOL}-predictor",
    f"/apis/serving.kserve.io/v1beta1/{NAMESPACED}/inferenceservices/{SERVICE}-{POOL}",
    f"/apis/autothink.dev/v1alpha1/{NAMESPACED}/autothinkservices/{SERVICE}",
    f"/api/v1/{NAMESPACED}/services/{SERVICE}",
    f"/api/v1/{NAMESPACED}/services/kat-metering",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/kat-operator",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kat-operator",
)


def test_an_uninstall_takes_everything_but_the_data_which_the_next_install_finds(installed: Installation) -> None:
    api = installed.api

    installed.helm.run("uninstall", RELEASE, "--namespace", NAMESPACE)

    def left() -> list[str]:
        return [path for path in GOES if api.exists(path)] + [pod["metadata"]["name"] for pod in installed.pods()]

    wait_until(lambda: not left(), seconds=SECONDS, what="everything of the release is gone")
    assert [path for path in STAYS if not api.exists(path)] == []

    install = ("install", RELEASE, CHART, "--namespace", NAMESPACE, "--values", EXAMPLE)
    installed.helm.run(*install, values=installed.values)

    again = replace(installed, metering_url=f"http://{address_of(api, 'kat-metering')}")
    wait_until(lambda: TENANT in again.tenants(), seconds=SECONDS, what=f"{TENANT}, to the administrator of before")
    ready = Services(api, NAMESPACE)
    wait_until(lambda: ready.told(SERVICE, "Ready")[0] == "True", seconds=SECONDS, what=f"{SERVICE} ready")
