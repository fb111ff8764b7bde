"""What tests on a cluster ask of it and wait for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools.cluster.api_client import ApiClient, Json, wait_until

SECONDS = 60
"""Plenty for anything that a cluster does; a machine that tests share may be slow."""


@dataclass(frozen=True)
class GpuPool:
    """Nodes of a test's own: the selector names them and no others."""

    selector: dict[str, str]
    nodes: list[str]


MakePool = Callable[..., GpuPool]


def condition(found: Json, kind: str) -> Any:
    """Status of an object's condition ("True", "False", "Unknown"); None where it has none such."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((each["status"] for each in conditions if each["type"] == kind), None)


def wait_for_condition(api: ApiClient, path: str, kind: str, status: str) -> None:
    wait_until(lambda: condition(api.get(path), kind) == status, seconds=SECONDS, what=f"{path} {kind}={status}")
