"""Blows at the installation's pods: their processes killed, or the pods deleted, at random and yet every kind in turn."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum, auto
from itertools import product
from typing import Final

from tests.fakes.cluster import condition
from tests.fakes.installation import NAMESPACE, SERVICE, Installation
from tools.cluster.api_client import Json
from tools.cluster.node.agents import CONTAINERD_SOCKET
from tools.cluster.node.namespaces import CommandFailed


class Part(StrEnum):
    """Whom it hits."""

    PREDICTOR = auto()
    METERING = auto()
    POSTGRES = auto()
    OPERATOR = auto()


class Way(StrEnum):
    """What is done to a pod."""

    KILL = auto()
    """SIGKILL to its container, which the kubelet starts again in the same pod, with the same volumes."""
    DELETE = auto()
    """Deleted as anybody would, with the time to end that its spec gives; another pod takes its place."""


_KINDS: Final = tuple(product(Part, Way))


@dataclass
class Strikes:
    """A seeded sequence of blows; only what is ready gets one."""

    installed: Installation
    dice: random.Random
    done: Counter[tuple[Part, Way]] = field(default_factory=Counter)
    _order: Iterator[tuple[Part, Way]] = field(init=False)
    _killed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Begin the sequence."""
        self._order = self._shuffled()

    def next(self) -> bool:
        """The next blow, to a pod by chance; False where none of its part is ready, or its container has just ended."""
        part, way = next(self._order)
        pods = [pod for pod in self._pods(part) if self._is_up(pod)]
        if not pods:
            return False
        pod = self.dice.choice(sorted(pods, key=lambda pod: str(pod["metadata"]["name"])))
        if way is Way.DELETE:
            self.installed.api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}")
        elif not self._kill(_container(pod)):
            return False
        self.done[part, way] += 1
        return True

    def _shuffled(self) -> Iterator[tuple[Part, Way]]:
        while True:
            yield from self.dice.sample(_KINDS, len(_KINDS))

    def _pods(self, part: Part) -> list[Json]:
        return self.installed.services.pods(SERVICE) if part is Part.PREDICTOR else self.installed.pods(part)

    def _is_up(self, pod: Json) -> bool:
        # The API server learns late that a container was killed. To delete its pod then would take the outbox with it.
        return condition(pod, "Ready") == "True" and _container(pod) not in self._killed

    def _kill(self, container: str) -> bool:
        self._killed.add(container)
        ctr = ("ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io")
        try:
            self.installed.cluster.namespaces.run(*ctr, "tasks", "kill", "--signal", "SIGKILL", container)
        except CommandFailed as error:
            if "not found" in str(error) or "already finished" in str(error):
                return False
            raise
        return True


def _container(pod: Json) -> str:
    """The id of the one container that a pod has, as containerd knows it."""
    (status,) = pod["status"]["containerStatuses"]
    return str(status["containerID"]).removeprefix("containerd://")
