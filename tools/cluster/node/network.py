"""The addresses of a node: a link between the machine and the node's network namespace, and the ranges behind it."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

_LINK_PREFIX: Final = "kat-node"
_CHOICES: Final = 250


@dataclass(frozen=True, kw_only=True)
class NodeNetwork:
    """Addresses of one node; none is reachable from outside of the machine.

    Example, number 7: the machine is 10.243.7.1, the node 10.243.7.2, pods are in 10.244.7.0/24 and Services in
    10.245.7.0/24, which the machine reaches through the node.
    """

    number: int

    @property
    def link(self) -> str:
        """The machine's end of the link."""
        return f"{_LINK_PREFIX}{self.number}"

    @property
    def machine(self) -> IPv4Address:
        """The machine's address on the link: where the node finds the API server."""
        return IPv4Address(f"10.243.{self.number}.1")

    @property
    def node(self) -> IPv4Address:
        """The node's address on the link."""
        return IPv4Address(f"10.243.{self.number}.2")

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network(f"10.244.{self.number}.0/24")

    @property
    def services(self) -> IPv4Network:
        return IPv4Network(f"10.245.{self.number}.0/24")

    @property
    def api_service(self) -> IPv4Address:
        """Where the Service `kubernetes` gets to be: the first address of the range."""
        return self.services[1]

    @property
    def dns_service(self) -> IPv4Address:
        """Where the Service `kube-dns` is put."""
        return self.services[10]


def free_network(*, links: Collection[str] | None = None, start: int | None = None) -> NodeNetwork:
    """Addresses that no other node of this machine has.

    Args:
        links: names of the machine's network links; as the machine has them now by default.
        start: the number to try first; one that differs between processes by default, so that two which look at the
            same moment do not choose the same.

    Raises:
        OSError: all are taken.
    """
    taken = {path.name for path in Path("/sys/class/net").iterdir()} if links is None else set(links)
    first = os.getpid() if start is None else start
    for step in range(_CHOICES):
        network = NodeNetwork(number=(first + step) % _CHOICES + 1)
        if network.link not in taken:
            return network
    raise OSError(f"all {_CHOICES} networks for nodes are taken: {_LINK_PREFIX}1 to {_LINK_PREFIX}{_CHOICES}")
