"""Values that together turn every switch of the chart: those for common clusters, and what they leave alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from tests.fakes.helm import EXAMPLES, SECRETS

_DIGEST: Final = f"sha256:{'a' * 64}"
_PLACED: Final = {
    "image": {"digest": _DIGEST, "pullPolicy": "Always"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "system-cluster-critical",
    "podLabels": {"a": "b"},
    "podAnnotations": {"a": "b"},
    "resources": {"limits": {"cpu": 2, "memory": "1Gi"}},
}
_PEERS: Final = [{"namespaceSelector": {"matchLabels": {"a": "b"}}, "podSelector": {"matchLabels": {"c": "d"}}}]
CHART_VALUES: Final[Mapping[str, dict[str, Any]]] = {
    **{path.stem: yaml.safe_load(path.read_text()) for path in EXAMPLES},
    "the least": dict(SECRETS),
    "pods placed": {
        **SECRETS,
        "operator": _PLACED,
        "metering": {**_PLACED, "settings": {"KAT_CURRENCY": "EUR"}},
        "imagePullSecrets": ["registry"],
        "runAsUser": 1_000_680_000,
    },
    "users of the platform": {
        **SECRETS,
        "runAsUser": "platform",
        "database": {"mode": "trial"},
    },
    "monitors of Services": {
        **SECRETS,
        "monitoring": {
            "enabled": True,
            "kind": "ServiceMonitor",
            "labels": {"release": "prometheus"},
            "rules": {"enabled": True},
            "dashboards": {"enabled": True, "folder": "Models", "annotations": {"a": "b"}, "namespace": "default"},
        },
    },
    "peers of policies": {
        **SECRETS,
        "networkPolicy": {"enabled": True, "meteringClients": _PEERS, "monitoringPeers": _PEERS},
    },
    "policies for a trial": {
        "tokens": {"generate": True},
        "database": {"mode": "trial", "trial": {"storageClassName": "fast"}},
        "networkPolicy": {"enabled": True, "meteringEgressPorts": []},
    },
    "a cluster of Postgres": {
        **SECRETS,
        "database": {
            "mode": "cloudnative-pg",
            "cloudnativePg": {
                "storageClassName": "fast",
                "spec": {"postgresql": {"parameters": {"max_connections": "200"}}},
            },
        },
    },
    "nothing that is optional": {
        **SECRETS,
        "podDisruptionBudgets": {"enabled": False},
        "rbac": {"aggregate": False},
        "metering": {"autoscaling": {"enabled": True}},
    },
}
