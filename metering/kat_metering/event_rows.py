"""Events as rows of `usage_event`, in the text format of COPY."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString

import orjson

from kat_metering.wire_event import WireEvent

TASK_LABEL: Final = "task"
"""The label that names the class of task a request belongs to."""

COLUMNS: Final = (
    "id, occurred_at, tenant, api_key_id, project, model, mode, mode_source, status, finish_reason,"
    " prompt, prompt_cached, judge, think, answer, control, ttft_ms, ttfa_ms, duration_ms, engine_seconds,"
    " task, labels, source"
)
"""The columns of `usage_event` that an event fills."""

_NULL: Final = r"\N"
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def copy_into(table: LiteralString) -> LiteralString:
    """The COPY statement for rows of `copy_rows`."""
    return f"COPY {table} ({COLUMNS}) FROM STDIN"


def copy_rows(events: Sequence[WireEvent]) -> list[str]:
    """A line for each id, in the order of the ids.

    Two deliveries that share events then wait for each other, and never in a circle.
    """
    escaped = _Escaped()
    # The id leads each line, in digits of fixed width: the order of the lines is that of the ids.
    return sorted({event.id.int: _line(event, escaped) for event in events}.values())


class _Escaped(dict[str, str]):
    """Texts as COPY reads them. Most of a delivery's texts come many times, and a look-up is quicker than escaping."""

    def __missing__(self, text: str) -> str:
        self[text] = escaped = text.translate(_ESCAPES)
        return escaped


def _line(event: WireEvent, escaped: _Escaped) -> str:
    usage = event.data
    tokens, labels = usage.tokens, usage.labels
    api_key = _NULL if usage.api_key_id is None else usage.api_key_id.hex
    finish_reason = _NULL if usage.finish_reason is None else escaped[usage.finish_reason]
    ttft = _NULL if usage.ttft_ms is None else usage.ttft_ms
    ttfa = _NULL if usage.ttfa_ms is None else usage.ttfa_ms
    return (
        f"{event.id.int:032x}\t{event.time.isoformat()}\t{escaped[usage.tenant]}\t{api_key}\t{escaped[usage.project]}\t"
        f"{escaped[usage.model]}\t{usage.mode}\t{usage.mode_source}\t{usage.status}\t{finish_reason}\t"
        f"{tokens.prompt}\t{tokens.prompt_cached}\t{tokens.judge}\t{tokens.think}\t{tokens.answer}\t{tokens.control}\t"
        f"{ttft}\t{ttfa}\t{usage.duration_ms}\t{usage.engine_seconds}\t"
        f"{escaped[labels.get(TASK_LABEL, '')]}\t{escaped[orjson.dumps(labels).decode()] if labels else '{}'}\t"
        f"{escaped[event.source]}\n"
    )
