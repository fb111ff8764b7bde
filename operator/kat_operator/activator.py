"""Answers for services that have no replica ready, and tells the loop that somebody asked.

While a service has no ready pod, an EndpointSlice of ours sends its Service here: every request gets 503 with
`Retry-After`, and the loop reads the wish for a replica. Once a pod is ready the slice goes.

Both changes take a moment to reach the nodes (kube-proxy watches EndpointSlices; usually well under a second, more on a
large cluster), and there is no barrier: in that moment requests may still come here although a pod is ready, or be
refused because the last pod has gone and the slice is not yet everywhere. Here each answer closes its connection, since
an open one would hold its client to this address for as long as it lives. Nothing is held back or passed on: a start
takes minutes, longer than proxies and clients wait.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

import structlog
from aiohttp import web

from kat_operator.api import SERVICE_LABEL
from kat_operator.connection import FIELD_MANAGER
from kat_operator.kinds import ENDPOINT_SLICE, Key
from kat_operator.predictor_pod import PORT_NAME
from kat_operator.resources import Owner

HEALTH_PATH: Final = "/healthz"
_WISH_SECONDS: Final = 60.0
"""How long after `Retry-After` a client is still expected to ask again."""
_UNKNOWN_RETRY_SECONDS: Final = 30
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Wish:
    since: float
    last: float


class Wishes:
    """Services that somebody asked for while they had no replica. Its methods belong to one event loop.

    There is at most one wish for each service that `expect` named, so requests cannot make it grow.

    Args:
        on_wish: Called when a service is asked for that was not before.
        monotonic: A clock in seconds that never goes back.
    """

    def __init__(
        self,
        *,
        on_wish: Callable[[Key], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_wish = on_wish
        self._monotonic = monotonic
        self._startup_seconds: dict[Key, float] = {}
        self._named: dict[str, set[Key]] = {}
        self._wishes: dict[Key, _Wish] = {}

    def expect(self, service: Key, startup_seconds: float) -> None:
        """There is such a service, and from a wish to a ready replica it takes so long."""
        self._startup_seconds[service] = startup_seconds
        self._named.setdefault(service.name, set()).add(service)

    def forget(self, service: Key) -> None:
        """The service is gone."""
        self._startup_seconds.pop(service, None)
        self._wishes.pop(service, None)
        named = self._named.get(service.name, set())
        named.discard(service)
        if not named:
            self._named.pop(service.name, None)

    def fulfilled(self, service: Key) -> None:
        """A replica is ready: from now on the service is wanted or idle by what its metrics say."""
        self._wishes.pop(service, None)

    def wanted(self, service: Key) -> bool:
        """Somebody asked for it, and still waits for a replica as far as can be told."""
        return self._current(service) is not None

    def find(self, host: str) -> Key | None:
        """The service that a Host header means: `<name>.<namespace>`, with or without the cluster's domain and a port.

        The bare name, which clients in the service's own namespace use, is taken where only one service has it.
        """
        name, *more = host.lower().partition(":")[0].split(".")
        if not more:
            named = self._named.get(name, set())
            return next(iter(named)) if len(named) == 1 else None
        namespace, *domain = more
        service = Key(namespace, name)
        return service if domain[:1] in ([], ["svc"]) and service in self._startup_seconds else None

    def ask(self, service: Key) -> float:
        """Raise the wish for a replica, or renew it; seconds until one may be ready, at least 1.

        Raises:
            KeyError: `expect` did not name the service.
        """
        startup_seconds = self._startup_seconds[service]
        now = self._monotonic()
        wish = self._current(service)
        if wish is None:
            wish = self._wishes[service] = _Wish(now, now)
            if self._on_wish is not None:
                self._on_wish(service)
        wish.last = now
        return max(1.0, startup_seconds - (now - wish.since))

    def _current(self, service: Key) -> _Wish | None:
        wish = self._wishes.get(service)
        lasts = self._startup_seconds.get(service, 0.0) + _WISH_SECONDS
        if wish is not None and self._monotonic() - wish.last > lasts:
            del self._wishes[service]
            return None
        return wish


def activator_app(wishes: Wishes) -> web.Application:
    """The application that a service's Service leads to while it has no ready replica."""

    async def answer(request: web.Request) -> web.Response:
        service = wishes.find(request.host)
        if service is None:
            if request.path == HEALTH_PATH:
                return web.Response(text="ok")
            response = _unavailable("There is no such service here.", "service_unknown", _UNKNOWN_RETRY_SECONDS)
        else:
            if not wishes.wanted(service):
                _log.info("service_asked_for", namespace=service.namespace, service=service.name)
            seconds = math.ceil(wishes.ask(service))
            response = _unavailable(
                f"{service.name} is starting; try again in about {seconds} seconds.", "service_starting", seconds
            )
        response.force_close()
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


def activator_slice_name(service: str) -> str:
    """Of a service's EndpointSlice that leads to the activator. Kubernetes' own ones have other names."""
    return f"{service}-activator"


def activator_endpoint_slice(
    service: Mapping[str, Any], operator_ip: str, port: int, ready_pods: Collection[str]
) -> dict[str, Any] | None:
    """The EndpointSlice that leads a service's Service to the activator; None while a pod of it is ready.

    Args:
        service: The AutoThinkService. Its Service has its name.
        operator_ip: Where the activator is.
        port: Where it listens.
        ready_pods: Pods of the service that are ready.
    """
    if ready_pods:
        return None
    metadata = service["metadata"]
    owner = Owner(metadata["namespace"], metadata["name"], metadata["uid"])
    return {
        "apiVersion": ENDPOINT_SLICE.api_version,
        "kind": ENDPOINT_SLICE.kind,
        "metadata": {
            "name": activator_slice_name(owner.name),
            "namespace": owner.namespace,
            "labels": {
                SERVICE_LABEL: owner.name,
                "kubernetes.io/service-name": owner.name,
                # Kubernetes' own controller deletes what it takes to be its own.
                "endpointslice.kubernetes.io/managed-by": FIELD_MANAGER,
            },
            "ownerReferences": [owner.reference()],
        },
        "addressType": f"IPv{ip_address(operator_ip).version}",
        "endpoints": [{"addresses": [operator_ip], "conditions": {"ready": True}}],
        # Tied to the Service's port by its name, not by a number.
        "ports": [{"name": PORT_NAME, "port": port, "protocol": "TCP"}],
    }


def _unavailable(message: str, code: str, retry_after: int) -> web.Response:
    return web.json_response(
        {"error": {"message": message, "type": "service_unavailable_error", "param": None, "code": code}},
        status=503,
        headers={"Retry-After": str(retry_after)},
    )
