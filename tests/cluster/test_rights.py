"""What the operator's ServiceAccount may not do. That what it may suffices, the other tests show by running under it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.operator_process import ACCOUNT
from tools.cluster.api_client import ApiClient, tls
from tools.cluster.control_plane import ControlPlane

MAY_NOT = [
    ("get", "", "secrets", ""),
    ("create", "", "pods", ""),
    ("delete", "", "pods", ""),
    ("create", "", "pods", "exec"),
    ("patch", "apps", "deployments", ""),
    ("delete", "apps", "deployments", ""),
    ("patch", "autothink.dev", "autothinkservices", ""),
    ("create", "autothink.dev", "autothinkservices", ""),
    ("patch", "", "nodes", ""),
    ("get", "", "configmaps", ""),
    ("create", "rbac.authorization.k8s.io", "rolebindings", ""),
    ("escalate", "rbac.authorization.k8s.io", "clusterroles", ""),
    ("create", "", "serviceaccounts", "token"),
]


@pytest.mark.parametrize(("verb", "group", "resource", "subresource"), MAY_NOT)
def test_the_operator_may_not(
    control_plane: ControlPlane,
    operator_kubeconfig: Path,
    namespace: str,
    verb: str,
    group: str,
    resource: str,
    subresource: str,
) -> None:
    api = ApiClient(control_plane.url, tls(control_plane.ca), token=control_plane.token_for(namespace, ACCOUNT))
    attributes = {
        "namespace": namespace,
        "verb": verb,
        "group": group,
        "resource": resource,
        "subresource": subresource,
    }

    answer = api.create(
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {"resourceAttributes": attributes}}
    )
    api.close()

    assert answer["status"]["allowed"] is False
