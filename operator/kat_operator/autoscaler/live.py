"""Reads one service from the cluster, and on request its signals from Prometheus, for `kat autoscaler explain`."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import aiohttp

from kat_operator.api import SERVICE_LABEL
from kat_operator.autoscaler.observation import Signals
from kat_operator.autoscaler.prometheus import Prometheus
from kat_operator.autoscaler.series import reading_of
from kat_operator.autoscaler.signals_reader import STALE_AFTER_SECONDS
from kat_operator.connection import Connection
from kat_operator.errors import ApiServerError, NoCluster, NotFound, PrometheusFailed, Unreachable
from kat_operator.kinds import AUTO_THINK_SERVICE, POD, Key
from kat_operator.pod_view import view_pod


class Unexplained(Exception):
    """The service, or its signals, cannot be read. The message is one line for the user."""


async def read_service(
    kubeconfig: Path | None, namespace: str, name: str, prometheus_url: str | None
) -> tuple[Mapping[str, Any], Signals | None]:
    """The AutoThinkService, and its signals of this moment where a Prometheus is given.

    Raises:
        Unexplained: There is no such service, or somebody does not answer.
    """
    try:
        async with Connection.open(kubeconfig) as connection:
            service = await connection.get(AUTO_THINK_SERVICE.path(namespace, name))
            if prometheus_url is None:
                return service, None
            pods = await connection.get(POD.path(namespace), labelSelector=f"{SERVICE_LABEL}={name}")
        ready = [view.name for pod in pods["items"] if (view := view_pod(pod)).ready and not view.terminating]
        return service, await _signals(prometheus_url, namespace, ready)
    except NotFound as error:
        raise Unexplained(f"there is no AutoThinkService {namespace}/{name}") from error
    except NoCluster as error:
        raise Unexplained("no way to a cluster: name its configuration with --kubeconfig") from error
    except (ApiServerError, Unreachable) as error:
        raise Unexplained(f"the API server: {error}") from error


async def _signals(url: str, namespace: str, ready: list[str]) -> Signals:
    async with aiohttp.ClientSession() as session:
        try:
            everything = await Prometheus(session, url).samples()
        except PrometheusFailed as error:
            raise Unexplained(str(error)) from error
    samples = {pod: everything[key] for pod in ready if (key := Key(namespace, pod)) in everything}
    # How long they have been ready is not looked at here: whatever is missing is told at once.
    reading = reading_of(samples, dict.fromkeys(ready, inf), stale_after_seconds=STALE_AFTER_SECONDS, grace_seconds=0.0)
    if reading.signals is None:
        raise Unexplained(f"no signals: {reading.message}")
    return reading.signals
