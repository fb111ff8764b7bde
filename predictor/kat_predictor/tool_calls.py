"""Split the text of an answer into content and tool calls of the Hermes form, while it streams.

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Beijing"}}
    </tool_call>

Source: the Hermes function-calling format of Qwen2 templates, which KAT's template shares.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

_OPEN: Final = "<tool_call>"
_CLOSE: Final = "</tool_call>"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call, as OpenAI's API shows it."""

    id: str
    name: str
    arguments: str
    """A JSON object, serialised."""


class ToolCallSplitter:
    """Takes answer text in, gives content and calls out, in order.

    What is no well-formed call is content, tags included. White space is dropped where all it does is to separate a
    call from another one or from an end of the text.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        """Prepare a splitter; new_id makes the id of a call: `call_` and 24 hexadecimal digits, as OpenAI's are."""
        self._new_id = new_id
        self._held = ""  # the beginning of an opening tag, perhaps
        self._blank: list[str] = []  # white space that is dropped if a call, or the end, comes next
        self._separating = True  # nothing but white space since a call, or since the beginning
        self._body: list[str] | None = None  # what follows an opening tag, less the tail
        self._tail = ""  # the beginning of a closing tag, perhaps
        self._called = False

    def feed(self, text: str) -> list[str | ToolCall]:
        """Take in text; give out what is certain now."""
        out: list[str | ToolCall] = []
        while text:
            text = self._read_content(text, out) if self._body is None else self._read_body(text, out)
        return out

    def finish(self) -> list[str | ToolCall]:
        """Give out what was held back: the text has ended. A whole call may lack its closing tag."""
        out: list[str | ToolCall] = []
        if self._body is not None:
            self._end_call(out, self._tail, "")
        self._content(out, self._held)
        self._held = ""
        if not self._called:
            _append(out, "".join(self._blank))
        return out

    def _read_content(self, text: str, out: list[str | ToolCall]) -> str:
        """Read up to the end of an opening tag, or all; return what is left."""
        text, self._held = self._held + text, ""
        if self._separating:
            stripped = text.lstrip()
            self._blank.append(text[: len(text) - len(stripped)])
            text = stripped
        at = text.find(_OPEN)
        if at >= 0:
            self._content(out, text[:at])
            self._body, self._tail = [], ""
            return text[at + len(_OPEN) :]
        cut = _unfinished(text, _OPEN)
        self._content(out, text[:cut])
        self._held = text[cut:]
        return ""

    def _read_body(self, text: str, out: list[str | ToolCall]) -> str:
        """Read up to the end of a closing tag, or all; return what is left."""
        text = self._tail + text
        at = text.find(_CLOSE)
        if at >= 0:
            self._end_call(out, text[:at], _CLOSE)
            return text[at + len(_CLOSE) :]
        cut = _unfinished(text, _CLOSE)
        if self._body is not None:
            self._body.append(text[:cut])
        self._tail = text[cut:]
        return ""

    def _end_call(self, out: list[str | ToolCall], last: str, closing: str) -> None:
        body = "".join([*(self._body or []), last])
        self._body, self._tail = None, ""
        call = self._parse(body)
        if call is None:
            self._content(out, f"{_OPEN}{body}{closing}")
            return
        out.append(call)
        self._called = self._separating = True
        self._blank = []

    def _content(self, out: list[str | ToolCall], text: str) -> None:
        if text:
            _append(out, "".join(self._blank))
            _append(out, text)
            self._blank = []
            self._separating = False

    def _parse(self, body: str) -> ToolCall | None:
        try:
            call = json.loads(body, parse_constant=_refuse)
            arguments = call.get("arguments", {}) if isinstance(call, dict) else None
            if isinstance(arguments, str):  # some models serialise them themselves
                arguments = json.loads(arguments, parse_constant=_refuse)
            if not isinstance(call, dict) or not isinstance(arguments, dict):
                return None
            written = _dump(arguments)
        except (ValueError, RecursionError):
            # No valid JSON, or nested deeper than anybody means: this is content, and shown as such.
            return None
        name = call.get("name")
        if not isinstance(name, str) or not name or not _encodable(name):
            return None
        return ToolCall(self._new_id(), name, written)


def _dump(arguments: dict[str, object]) -> str:
    # allow_nan: a number such as 1e999 has become infinite, which JSON cannot say.
    written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    return written if _encodable(written) else json.dumps(arguments)


def _append(out: list[str | ToolCall], text: str) -> None:
    if out and isinstance(out[-1], str):
        out[-1] += text
    elif text:
        out.append(text)


def _unfinished(text: str, tag: str) -> int:
    """Where a beginning of the tag at the end of the text starts; the length of the text if there is none."""
    at = text.rfind("<", max(0, len(text) - len(tag) + 1))
    return at if at >= 0 and tag.startswith(text[at:]) else len(text)


def _encodable(text: str) -> bool:
    """Whether UTF-8 can hold it: an escape in JSON can make half a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
