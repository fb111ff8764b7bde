"""What is applied of KServe's own chart, with the cluster's authority in cert-manager's place."""

from __future__ import annotations

import base64

import pytest
import yaml

from tools.cluster.api_client import Json
from tools.cluster.node.kserve_pod import manifests

AUTHORITY = b"-----BEGIN CERTIFICATE-----"
RENDERED = """\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: checks}
webhooks:
  - {name: one, clientConfig: {service: {name: webhook, namespace: kserve, path: /one}}}
  - {name: two, clientConfig: {service: {name: webhook, namespace: kserve, path: /two}, caBundle: Cg==}}
---
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: serving-cert, namespace: kserve}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller, namespace: kserve}
spec: {template: {spec: {containers: [{name: manager, image: ours}, {name: kube-rbac-proxy, image: theirs}]}}}
"""


@pytest.fixture
def applied() -> list[Json]:
    return manifests(RENDERED, AUTHORITY)


def test_nothing_is_left_to_cert_manager(applied: list[Json]) -> None:
    assert "Certificate" not in {each["kind"] for each in applied}


def test_webhooks_come_last_so_that_nothing_waits_for_a_controller_that_is_not_there(applied: list[Json]) -> None:
    assert [each["kind"] for each in applied] == ["Deployment", "ValidatingWebhookConfiguration"]


def test_every_webhook_trusts_the_clusters_authority_and_keeps_its_service(applied: list[Json]) -> None:
    written = yaml.safe_load_all(RENDERED)
    services = [each["clientConfig"]["service"] for each in next(written)["webhooks"]]

    clients = [each["clientConfig"] for each in applied[-1]["webhooks"]]

    assert {base64.b64decode(each["caBundle"]) for each in clients} == {AUTHORITY}
    assert [each["service"] for each in clients] == services


def test_the_controller_runs_without_the_proxy_in_front_of_its_metrics(applied: list[Json]) -> None:
    assert [each["image"] for each in applied[0]["spec"]["template"]["spec"]["containers"]] == ["ours"]
