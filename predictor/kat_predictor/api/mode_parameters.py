"""The ecosystem's parameters that ask for thinking or against it, mapped to one request for a mode.

| parameter | says |
|---|---|
| `reasoning_effort` (OpenAI) | `none` is off; `minimal`, `low`, `medium`, `high`, `xhigh`, `max` are on |
| `chat_template_kwargs.enable_thinking` (vLLM, Qwen) | `false` is off, `true` is on |
| `thinking.type` (Anthropic) | `disabled` is off, `enabled` is on, `auto` and `adaptive` leave it to the model |
| `thinking.budget_tokens` (Anthropic), `thinking_token_budget` (vLLM) | at most so many tokens of thinking |

An effort has no budget of its own: how many tokens a level is worth depends on the model, and no number holds for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from kat.usage_event import ModeAsked
from kat_predictor.autothink.mode import ModeRequest
from kat_predictor.errors import InvalidRequest

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Budget = Annotated[int, Field(ge=0)]

_OF_TYPE: Final = {
    "enabled": ModeAsked.ON,
    "disabled": ModeAsked.OFF,
    "auto": ModeAsked.AUTO,
    "adaptive": ModeAsked.AUTO,
}


class Thinking(BaseModel):
    """Anthropic's form."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    type: Literal["enabled", "disabled", "auto", "adaptive"]
    budget_tokens: Budget | None = None


class ChatTemplateKwargs(BaseModel):
    """Of the template's own arguments only this one has a meaning here; others are ignored, as templates do."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    enable_thinking: bool | None = None


_Value = TypeVar("_Value")
_Saying = tuple[str, _Value]  # a parameter, and what it says


def mode_request(
    *,
    reasoning_effort: Effort | None,
    chat_template_kwargs: ChatTemplateKwargs | None,
    thinking: Thinking | None,
    thinking_token_budget: int | None,
) -> ModeRequest:
    """What the parameters ask for together.

    Raises:
        InvalidRequest: Two of them contradict one another; both are named.
    """
    modes: list[_Saying[ModeAsked]] = []
    budgets: list[_Saying[int]] = []
    if reasoning_effort is not None:
        asked = ModeAsked.OFF if reasoning_effort == "none" else ModeAsked.ON
        modes.append(("reasoning_effort", asked))
    if chat_template_kwargs is not None and chat_template_kwargs.enable_thinking is not None:
        asked = ModeAsked.ON if chat_template_kwargs.enable_thinking else ModeAsked.OFF
        modes.append(("chat_template_kwargs.enable_thinking", asked))
    if thinking is not None:
        modes.append(("thinking.type", _OF_TYPE[thinking.type]))
        if thinking.budget_tokens is not None:
            budgets.append(("thinking.budget_tokens", thinking.budget_tokens))
    if thinking_token_budget is not None:
        budgets.append(("thinking_token_budget", thinking_token_budget))
    return ModeRequest(asked=_agreed(modes) or ModeAsked.AUTO, think_budget=_agreed(budgets))


def _agreed(sayings: Sequence[_Saying[_Value]]) -> _Value | None:
    if not sayings:
        return None
    (first, value), *others = sayings
    for param, other in others:
        if other != value:
            raise InvalidRequest(
                f"'{first}' and '{param}' contradict one another ({value} and {other}); send one of them.", param=param
            )
    return value
