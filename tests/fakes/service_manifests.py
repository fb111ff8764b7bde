"""AutoThinkServices as users write them, for tests without a cluster."""

from __future__ import annotations

from typing import Any

from kat_operator.api import AutoThinkServiceSpec


def manifest(name: str = "kat", **spec: Any) -> dict[str, Any]:
    """A service of one pool of GPUs named `a`, with the least that a spec needs and what is given over it."""
    return {
        "apiVersion": "autothink.dev/v1alpha1",
        "kind": "AutoThinkService",
        "metadata": {"name": name, "namespace": "llm", "uid": "7c1e", "generation": 1},
        "spec": {
            "model": {"uri": "hf://Kwaipilot/KAT-V1-40B"},
            "pools": [{"name": "a", "gpusPerReplica": 1}],
            "metering": {"url": "http://metering:8090", "serviceToken": {"name": "kat", "key": "token"}},
            **spec,
        },
    }


def spec(**changes: Any) -> AutoThinkServiceSpec:
    """The spec of such a service, by the names that users write."""
    return AutoThinkServiceSpec.model_validate(manifest(**changes)["spec"])
