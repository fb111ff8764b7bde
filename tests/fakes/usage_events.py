"""Usage events to send."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson

from kat.usage_event import new_event_id, time_of


def id_at(moment: datetime) -> UUID:
    """A UUIDv7 minted at a moment."""
    milliseconds = round(moment.timestamp() * 1000)
    random = uuid4().int & (1 << 74) - 1
    return UUID(int=milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1)


def an_event(*, at: datetime | None = None, event_id: UUID | str | None = None, **data: Any) -> dict[str, Any]:
    """A valid event as JSON's objects; `data` replaces fields of its data. `at`: when it happened (default: now)."""
    known = UUID(str(event_id)) if event_id is not None else new_event_id() if at is None else id_at(at)
    usage = {
        "tenant": "acme",
        "project": "default",
        "model": "KAT-V1-40B",
        "mode": "on",
        "mode_source": "model",
        "tokens": {"prompt": 100, "prompt_cached": 20, "judge": 30, "think": 400, "answer": 50, "control": 12},
        "status": "ok",
        "finish_reason": "stop",
        "ttft_ms": 80.5,
        "ttfa_ms": 2500.25,
        "duration_ms": 3000.125,
        "engine_seconds": 0.1,
        **data,
    }
    return {
        "specversion": "1.0",
        "type": "dev.autothink.usage.v1",
        "id": str(known),
        "source": "predictor-0:8080",
        "subject": usage["tenant"],
        "time": time_of(known).astimezone(UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": usage,
    }


def a_delivery(*events: object) -> bytes:
    """Events as the body of a delivery."""
    return orjson.dumps(events)
