"""From a conversation to the text of a prompt, for templates that know tools and a judge and for those that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from kat_predictor.autothink.history import answer_of, neutralise, neutralise_all
from kat_predictor.engines.base import Engine
from kat_predictor.errors import InvalidRequest
from kat_predictor.tool_calls import ToolCall

NATIVE_JUDGE_ENDING: Final = "<judge>\n"
"""What the generation prompt of a model with a judge of its own ends with."""

# The wording of the Qwen2.5 chat template, which is the Hermes function-calling format.
_TOOL_INSTRUCTIONS: Final = """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{signatures}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""

Tool = Mapping[str, object]
"""A tool as OpenAI's API has it: {"type": "function", "function": {"name", "description", "parameters"}}."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn, its parts joined to one text. Developer turns are system turns."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


class ChatTemplate:
    """The chat template of one model, and what it can and cannot do."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._knows_tools = "tools" in (engine.chat_template or "")

    @property
    def judges(self) -> bool:
        """The model has a judge of its own: its completions start inside the judge segment."""
        if self._engine.chat_template is None:
            return False
        prompt = self._engine.render_chat([{"role": "user", "content": "?"}], None)
        return prompt.endswith(NATIVE_JUDGE_ENDING)

    def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        """The text of the prompt, generation prompt included.

        Raises:
            InvalidRequest: The model has no chat template, or it refuses this conversation.
        """
        if self._engine.chat_template is None:
            raise InvalidRequest(
                "This model has no chat template, so it cannot take a conversation; use /v1/completions.",
                param="messages",
            )
        turns = [_cleaned(message) for message in messages]
        signatures = [tool for tool in map(neutralise_all, tools) if isinstance(tool, Mapping)]
        if self._knows_tools:
            rendered, offered = [_native_turn(turn) for turn in turns], signatures or None
        else:
            rendered, offered = _text_turns(turns, signatures), None
        try:
            return self._engine.render_chat(rendered, offered)
        except ValueError as error:
            raise InvalidRequest(
                f"The model's chat template refuses these messages: {error}", param="messages"
            ) from error


def _cleaned(message: Message) -> Message:
    """Without the thoughts of earlier turns, and without words that would forge a turn."""
    content = answer_of(message.content) if message.role == "assistant" else message.content
    calls = tuple(ToolCall(call.id, neutralise(call.name), neutralise(call.arguments)) for call in message.tool_calls)
    name = None if message.name is None else neutralise(message.name)
    return Message(message.role, neutralise(content), calls, message.tool_call_id, name)


def _native_turn(message: Message) -> dict[str, object]:
    turn: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        turn["name"] = message.name
    return turn


def _text_turns(messages: Sequence[Message], tools: Sequence[Tool]) -> list[dict[str, object]]:
    """Turns for a template that reads nothing but role and content: tools and their calls become text in them."""
    turns: list[dict[str, object]] = []
    after_result = False
    for message in messages:
        role, content = message.role, message.content
        if message.tool_calls:
            content = "\n".join([content, *map(_call_as_text, message.tool_calls)]).lstrip("\n")
        is_result = role == "tool"
        if is_result:
            role, content = "user", f"<tool_response>\n{content}\n</tool_response>"
            if after_result:
                # Results of one turn's calls belong together: many templates insist on alternating roles.
                content = f"{turns.pop()['content']}\n{content}"
        turns.append({"role": role, "content": content})
        after_result = is_result
    if tools:
        instructions = _TOOL_INSTRUCTIONS.format(signatures="\n".join(orjson.dumps(tool).decode() for tool in tools))
        if turns and turns[0]["role"] == "system":
            turns[0] = {"role": "system", "content": f"{turns[0]['content']}\n\n{instructions}"}
        else:
            turns.insert(0, {"role": "system", "content": instructions})
    return turns


def _call_as_text(call: ToolCall) -> str:
    body = orjson.dumps({"name": call.name, "arguments": _arguments(call)}).decode()
    return f"<tool_call>\n{body}\n</tool_call>"


def _arguments(call: ToolCall) -> object:
    # Templates write arguments out as JSON themselves; given the JSON text they would quote it a second time.
    try:
        return orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return call.arguments
