"""Requests to the cluster's API server, for setting it up: plain JSON, no models, little to import."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx

from tools.cluster.certificates import Pair
from tools.cluster.errors import NotReady

_FIELD_MANAGER: Final = "kat-cluster"
_POLL_SECONDS: Final = 0.05
_TIMEOUT_SECONDS: Final = 30

Json = dict[str, Any]


def tls(authority: Path, pair: Pair | None = None) -> ssl.SSLContext:
    """Trusts that authority alone; shows the pair's certificate where it is given."""
    context = ssl.create_default_context(cafile=authority)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


class ApiClient:
    """One API server, as one user. Raises httpx.HTTPStatusError where it refuses; its message has the server's words."""

    def __init__(self, url: str, context: ssl.SSLContext, *, token: str | None = None) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(
            base_url=url, verify=context, headers=headers, timeout=_TIMEOUT_SECONDS, trust_env=False
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **query: str) -> Json:
        return self._send("GET", path, query)

    def text(self, path: str, **query: str) -> str:
        """What is no JSON: a pod's log."""
        return self._respond("GET", path, query).text

    def create(self, path: str, body: Mapping[str, Any], **query: str) -> Json:
        return self._send("POST", path, query, body=body)

    def apply(self, path: str, body: Mapping[str, Any]) -> Json:
        """Server-side apply: the object becomes what `body` says, whether it was there or not."""
        query = {"fieldManager": _FIELD_MANAGER, "force": "true"}
        return self._send("PATCH", path, query, body=body, kind="application/apply-patch+yaml")

    def merge(self, path: str, body: Mapping[str, Any]) -> Json:
        return self._send("PATCH", path, {}, body=body, kind="application/merge-patch+json")

    def delete(self, path: str, **query: str) -> None:
        """Fine where it is gone already."""
        try:
            self._send("DELETE", path, query)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise

    def exists(self, path: str) -> bool:
        try:
            self.get(path)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        body: Mapping[str, Any] | None = None,
        kind: str = "application/json",
    ) -> Json:
        answer: Json = self._respond(method, path, query, body=body, kind=kind).json()
        return answer

    def _respond(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        body: Mapping[str, Any] | None = None,
        kind: str = "application/json",
    ) -> httpx.Response:
        response = self._client.request(
            method,
            path,
            params=dict(query),
            json=None if body is None else dict(body),
            headers={} if body is None else {"Content-Type": kind},
        )
        if response.is_error:
            raise httpx.HTTPStatusError(
                f"{method} {path}: {response.status_code} {response.text}", request=response.request, response=response
            )
        return response


def wait_until(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Return once `condition()` is true. Raises NotReady, naming `what`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NotReady(f"{what}: not within {seconds:g} s")
        time.sleep(_POLL_SECONDS)
