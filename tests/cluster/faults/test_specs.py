"""Definitions of another version, and specs that were stored under one: taken as they are, or left alone with a reason."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from kat_operator.crd import NAME, custom_resource_definition
from tests.fakes.cluster import SECONDS, MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess
from tools.cluster.api_client import wait_until
from tools.cluster.control_plane import ControlPlane

DEFINITION = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{NAME}"


@pytest.fixture
def definition(control_plane: ControlPlane, services: Services) -> Iterator[dict[str, Any]]:
    """The definition as it is installed, and installed again after the test."""
    body = custom_resource_definition()
    yield body
    control_plane.api.apply(DEFINITION, body)


def _lax(definition: dict[str, Any]) -> dict[str, Any]:
    """The definition as an older operator might have had it: it takes anything for a spec."""
    lax = copy.deepcopy(definition)
    for version in lax["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return lax


def test_a_stored_spec_that_this_version_cannot_read_is_said_and_what_runs_is_left_alone(
    control_plane: ControlPlane,
    definition: dict[str, Any],
    operator: OperatorProcess,
    services: Services,
    make_pool: MakePool,
) -> None:
    services.create(a_service("kat", make_pool(2), replicas={"min": 2, "max": 2}))
    services.wait_ready("kat", 2)
    before = {pod["metadata"]["uid"] for pod in services.pods("kat")}

    control_plane.api.apply(DEFINITION, _lax(definition))
    wait_until(lambda: _takes_nonsense(services), seconds=SECONDS, what="the lax definition holds")

    services.wait_told("kat", "Ready", "False", "InvalidSpec")
    assert "graceSeconds" in services.message("kat", "Ready")
    assert {pod["metadata"]["uid"] for pod in services.pods("kat")} == before

    services.change("kat", graceSeconds=60, replicas={"min": 1, "max": 1})
    services.wait_ready("kat", 1)
    services.wait_told("kat", "Ready", "True")


def _takes_nonsense(services: Services) -> bool:
    try:
        services.change("kat", graceSeconds="long")
    except httpx.HTTPStatusError:
        return False
    return True


def test_services_live_on_when_the_definition_is_upgraded(
    control_plane: ControlPlane,
    definition: dict[str, Any],
    operator: OperatorProcess,
    services: Services,
    make_pool: MakePool,
) -> None:
    services.create(a_service("kat", make_pool(2)))
    services.wait_ready("kat", 1)
    before = {pod["metadata"]["uid"] for pod in services.pods("kat")}

    newer = copy.deepcopy(definition)
    spec = newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["fromTheFuture"] = {"type": "string", "description": "A field that this operator knows not."}
    control_plane.api.apply(DEFINITION, newer)
    wait_until(
        lambda: services.change("kat", fromTheFuture="x")["spec"].get("fromTheFuture") == "x",
        seconds=SECONDS,
        what="the new definition holds",
    )
    services.change("kat", replicas={"min": 2})

    services.wait_ready("kat", 2)
    assert services.get("kat")["spec"]["fromTheFuture"] == "x"
    assert before <= {pod["metadata"]["uid"] for pod in services.pods("kat")}
