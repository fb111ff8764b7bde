"""The messages of a chat request, read strictly: each complaint names messages[i] and the field at fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from kat_predictor.chat_template import Message
from kat_predictor.errors import InvalidRequest
from kat_predictor.tool_calls import ToolCall

_ROLES: Final[dict[str, Literal["system", "user", "assistant", "tool"]]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


def read_messages(raw: object) -> tuple[Message, ...]:
    """The conversation of a request.

    Raises:
        InvalidRequest: It is empty or malformed, or holds what is no text.
    """
    if not isinstance(raw, list):
        raise InvalidRequest("'messages' must be a list of messages.", param="messages")
    if not raw:
        raise InvalidRequest("'messages' must hold at least one message.", param="messages")
    return tuple(_message(message, f"messages[{index}]") for index, message in enumerate(raw))


def _message(raw: object, at: str) -> Message:
    if not isinstance(raw, Mapping):
        raise InvalidRequest(f"'{at}' must be an object with 'role' and 'content'.", param=at)
    role_asked = raw.get("role")
    if not isinstance(role_asked, str) or role_asked not in _ROLES:
        known = ", ".join(f"'{role}'" for role in _ROLES)
        raise InvalidRequest(f"'{at}.role' must be one of {known}, not {role_asked!r}.", param=f"{at}.role")
    role = _ROLES[role_asked]
    calls = _tool_calls(raw.get("tool_calls"), at) if role == "assistant" else ()
    content = raw.get("content")
    if content is None and not calls:
        raise InvalidRequest(f"'{at}.content' is missing.", param=f"{at}.content")
    tool_call_id = _optional_text(raw, "tool_call_id", at) if role == "tool" else None
    if role == "tool" and tool_call_id is None:
        raise InvalidRequest(
            f"'{at}.tool_call_id' is missing: a tool message names the call that it answers.",
            param=f"{at}.tool_call_id",
        )
    return Message(
        role=role,
        content="" if content is None else _content(content, f"{at}.content"),
        tool_calls=calls,
        tool_call_id=tool_call_id,
        name=_optional_text(raw, "name", at),
    )


def _content(raw: object, at: str) -> str:
    if isinstance(raw, str):
        return raw
    if not isinstance(raw, Sequence):
        raise InvalidRequest(f"'{at}' must be a string or a list of text parts.", param=at)
    if not raw:
        raise InvalidRequest(f"'{at}' must hold at least one part.", param=at)
    # Joined by lines, as vLLM joins them, so that two parts never run into one word.
    return "\n".join(_part(part, f"{at}[{index}]") for index, part in enumerate(raw))


def _part(raw: object, at: str) -> str:
    kind = raw.get("type") if isinstance(raw, Mapping) else None
    if not isinstance(raw, Mapping) or not isinstance(kind, str):
        raise InvalidRequest(f"'{at}' must be an object with a 'type'.", param=at)
    if kind not in {"text", "refusal"}:
        raise InvalidRequest(f"'{at}' is of type '{kind}'; this model reads text only.", param=at)
    text = raw.get(kind)
    if not isinstance(text, str):
        raise InvalidRequest(f"'{at}.{kind}' must be a string.", param=f"{at}.{kind}")
    return text


def _tool_calls(raw: object, at: str) -> tuple[ToolCall, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise InvalidRequest(f"'{at}.tool_calls' must be a list.", param=f"{at}.tool_calls")
    return tuple(_tool_call(call, f"{at}.tool_calls[{index}]") for index, call in enumerate(raw))


def _tool_call(raw: object, at: str) -> ToolCall:
    function = raw.get("function") if isinstance(raw, Mapping) else None
    if not isinstance(raw, Mapping) or raw.get("type", "function") != "function" or not isinstance(function, Mapping):
        raise InvalidRequest(f"'{at}' must be a call of type 'function' with a 'function' object.", param=at)
    identifier, name, arguments = raw.get("id"), function.get("name"), function.get("arguments")
    for field, value in (("id", identifier), ("function.name", name), ("function.arguments", arguments)):
        if not isinstance(value, str):
            raise InvalidRequest(f"'{at}.{field}' must be a string.", param=f"{at}.{field}")
    return ToolCall(str(identifier), str(name), str(arguments))


def _optional_text(raw: Mapping[str, object], field: str, at: str) -> str | None:
    value = raw.get(field)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"'{at}.{field}' must be a string.", param=f"{at}.{field}")
    return value
