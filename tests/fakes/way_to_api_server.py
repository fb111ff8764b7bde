"""A way to a cluster's API server that a test can break."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.fakes.tcp_proxy import TcpProxy


@dataclass(frozen=True)
class Way:
    """A proxy in front of the API server, and a kubeconfig that leads through it."""

    proxy: TcpProxy
    portal: BlockingPortal
    kubeconfig: Path

    def cut(self) -> None:
        self.portal.call(self.proxy.cut)

    def fall_silent(self) -> None:
        self.portal.call(self.proxy.fall_silent)

    def speak(self) -> None:
        self.portal.call(self.proxy.speak)

    def deafen(self) -> None:
        """What is connected dies without a word; new connections are served."""
        self.portal.call(self.proxy.deafen)

    def fall_silent_after(self, requests: int) -> None:
        """Once so many have been passed on."""
        self.proxy.silent_after = requests


@contextmanager
def way_to_api_server(kubeconfig: Path, url: str, folder: Path) -> Iterator[Way]:
    """A way for the user of a kubeconfig to the API server at `url`."""
    server = httpx.URL(url)
    proxy = TcpProxy(lambda: asyncio.open_connection(server.host, server.port))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(proxy):
        through = folder / "through-proxy.kubeconfig"
        text = kubeconfig.read_text()
        if url not in text:
            raise ValueError(f"{kubeconfig} does not lead to {url}")
        through.write_text(text.replace(url, f"https://127.0.0.1:{proxy.port}"))
        yield Way(proxy, portal, through)
