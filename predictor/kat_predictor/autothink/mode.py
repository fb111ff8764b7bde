"""Who decides whether a request thinks: tenant policy, budget, request parameter, the user's words, the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kat.directory import BudgetState
from kat.usage_event import ModeAsked, ModeSource
from kat_predictor.autothink.instruction import explicit_instruction

_SPARING: Final = {BudgetState.THINK_OFF, BudgetState.EXHAUSTED}


@dataclass(frozen=True, slots=True)
class ModeRequest:
    """What the parameters of a request say."""

    asked: ModeAsked = ModeAsked.AUTO
    think_budget: int | None = None
    """Tokens of thought, at most; None is no limit of the request's own; 0 is another word for off."""


@dataclass(frozen=True, slots=True)
class ModeChoice:
    """The mode to bring about. `auto`: the model judges."""

    asked: ModeAsked
    source: ModeSource
    think_budget: int | None = None
    """Tokens of thought, at most; positive."""


def choose_mode(
    policy: ModeAsked,
    budget_state: BudgetState | None,
    request: ModeRequest,
    last_user_text: str | None,
    *,
    max_think_tokens: int | None = None,
) -> ModeChoice:
    """Choose by the first that has an opinion.

    1. The tenant's policy, where it is `on` or `off`; a tenant past its budget's threshold has the policy `off` where
       it had `auto`, so a request cannot think on a budget that is nearly gone. `max_think_tokens` of 0 is `off` too.
    2. The request's parameters. A budget of 0 is `off`, whatever else they ask.
    3. An explicit instruction in the last user message.
    4. The model's own judge.

    The tenant's `max_think_tokens` and the request's budget combine by the smaller.
    """
    if max_think_tokens == 0 or (policy is ModeAsked.AUTO and budget_state in _SPARING):
        policy = ModeAsked.OFF
    asked, source = _first_opinion(policy, request, last_user_text)
    if asked is ModeAsked.OFF:
        return ModeChoice(asked, source)
    budgets = [budget for budget in (max_think_tokens, request.think_budget) if budget]
    return ModeChoice(asked, source, min(budgets, default=None))


def _first_opinion(policy: ModeAsked, request: ModeRequest, last_user_text: str | None) -> tuple[ModeAsked, ModeSource]:
    if policy is not ModeAsked.AUTO:
        # Not even a request's budget of 0 turns off what the policy turns on: it is a request for `off` like any other.
        return policy, ModeSource.BUDGET
    if request.think_budget == 0:
        return ModeAsked.OFF, ModeSource.REQUEST
    if request.asked is not ModeAsked.AUTO:
        return request.asked, ModeSource.REQUEST
    if last_user_text and (instructed := explicit_instruction(last_user_text)):
        return ModeAsked(instructed), ModeSource.INSTRUCTION
    return ModeAsked.AUTO, ModeSource.MODEL
