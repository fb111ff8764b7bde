"""Kubeconfigs: the address of a cluster and who one is there."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from tools.cluster.certificates import Pair


def for_certificate(url: str, authority: Path, pair: Pair) -> str:
    """Text of a kubeconfig that speaks as the certificate's user."""
    return _text(
        url,
        authority,
        {"client-certificate-data": _base64(pair.certificate), "client-key-data": _base64(pair.key)},
    )


def for_token(url: str, authority: Path, token: str, *, namespace: str) -> str:
    """Text of a kubeconfig that speaks as a ServiceAccount."""
    return _text(url, authority, {"token": token}, namespace=namespace)


def _text(url: str, authority: Path, user: Mapping[str, str], *, namespace: str = "default") -> str:
    # JSON is YAML, and needs no quoting rules.
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "kat", "cluster": {"server": url, "certificate-authority-data": _base64(authority)}},
            ],
            "users": [{"name": "kat", "user": dict(user)}],
            "contexts": [{"name": "kat", "context": {"cluster": "kat", "user": "kat", "namespace": namespace}}],
            "current-context": "kat",
        },
        indent=1,
    )


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
