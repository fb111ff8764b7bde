"""Events on a service: what became so, told once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Final

import structlog

from kat_operator.conditions import Transition
from kat_operator.connection import FIELD_MANAGER, Connection
from kat_operator.errors import ApiServerError, Unreachable
from kat_operator.kinds import AUTO_THINK_SERVICE, EVENT

log = structlog.get_logger(__name__)

_QUIET_SECONDS: Final = 300.0
"""What comes and goes within this time is told once."""
_REMEMBERED: Final = 5_000
_NOTE_BYTES: Final = 1_000
"""The API server takes a note of 1 kB."""


class Events:
    """Writes events. One that cannot be written is logged: no service waits for its news."""

    def __init__(self, connection: Connection, reporter: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._reporter = reporter
        self._clock = clock
        self._told: dict[tuple[str, str, str], float] = {}

    async def tell(self, service: Mapping[str, Any], transitions: Sequence[Transition]) -> None:
        """Write one event for each transition of an AutoThinkService that was not told just now."""
        for transition in transitions:
            if not self._is_news(service["metadata"]["uid"], transition):
                continue
            try:
                path = EVENT.path(service["metadata"]["namespace"])
                await self._connection.create(path, _event(service, transition, self._reporter))
            except (ApiServerError, Unreachable) as error:
                log.warning("event could not be written", reason=transition.reason, why=str(error))

    def _is_news(self, uid: str, transition: Transition) -> bool:
        now = self._clock()
        told = (uid, transition.reason, transition.message)
        if now - self._told.get(told, float("-inf")) < _QUIET_SECONDS:
            return False
        if len(self._told) >= _REMEMBERED:
            self._told = {key: at for key, at in self._told.items() if now - at < _QUIET_SECONDS}
        self._told[told] = now
        return True


def _event(service: Mapping[str, Any], transition: Transition, reporter: str) -> dict[str, Any]:
    metadata = service["metadata"]
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{metadata['name']}.{token_hex(8)}", "namespace": metadata["namespace"]},
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": "Warning" if transition.warning else "Normal",
        "reason": transition.reason,
        "note": transition.message.encode()[:_NOTE_BYTES].decode(errors="ignore"),
        "action": "Reconcile",
        "reportingController": FIELD_MANAGER,
        "reportingInstance": reporter[:128],
        "regarding": {
            "apiVersion": AUTO_THINK_SERVICE.api_version,
            "kind": AUTO_THINK_SERVICE.kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }
