"""Whether this predictor serves: from an open port without a model to the last drained request."""

from __future__ import annotations

from kat_predictor.completion import Completions
from kat_predictor.engines.base import EngineError
from kat_predictor.errors import Draining, NotReady
from kat_predictor.tenants import Tenants


class Serving:
    """Holds what runs requests, once the model is loaded and has answered a first one."""

    def __init__(self, tenants: Tenants) -> None:
        self.tenants = tenants
        self._completions: Completions | None = None
        self._draining = False

    def begin(self, completions: Completions) -> None:
        """The engine works: serve from now on."""
        self._completions = completions

    def drain(self) -> None:
        """Take no more requests; those that run go on."""
        self._draining = True

    @property
    def completions(self) -> Completions:
        """What runs requests.

        Raises:
            Draining: The predictor is shutting down.
            NotReady: The model is not loaded yet.
        """
        if self._draining:
            raise Draining("This replica is shutting down; try again, another one will answer.", retry_after=1)
        if self._completions is None:
            raise NotReady("The model is being loaded; try again later.", retry_after=5)
        return self._completions

    async def ready(self) -> bool:
        """Requests would be answered now."""
        return self._completions is not None and not self._draining and self.tenants.ready and await self.alive()

    async def alive(self) -> bool:
        """The engine works, or is still being loaded. False once it is dead, and while it hangs: a restart helps."""
        if self._completions is None:
            return True
        try:
            await self._completions.health()
        except EngineError:
            return False
        return True
