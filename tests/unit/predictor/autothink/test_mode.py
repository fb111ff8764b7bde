"""Who decides the mode."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.directory import BudgetState
from kat.usage_event import ModeAsked, ModeSource
from kat_predictor.autothink.mode import ModeChoice, ModeRequest, choose_mode

AUTO, ON, OFF = ModeAsked.AUTO, ModeAsked.ON, ModeAsked.OFF
BUDGET, REQUEST, INSTRUCTION, MODEL = ModeSource.BUDGET, ModeSource.REQUEST, ModeSource.INSTRUCTION, ModeSource.MODEL

CASES: dict[str, tuple[ModeAsked, BudgetState | None, ModeRequest, str | None, ModeChoice]] = {
    "the model judges when nobody else has an opinion": (AUTO, None, ModeRequest(), "Hi", ModeChoice(AUTO, MODEL)),
    "a request without a user message is judged too": (AUTO, None, ModeRequest(), None, ModeChoice(AUTO, MODEL)),
    "an instruction turns thinking on": (
        AUTO,
        BudgetState.OK,
        ModeRequest(),
        "Think step by step: 2+2?",
        ModeChoice(ON, INSTRUCTION),
    ),
    "an instruction turns thinking off": (
        AUTO,
        None,
        ModeRequest(),
        "不要思考，直接告诉我",
        ModeChoice(OFF, INSTRUCTION),
    ),
    "a request beats an instruction": (
        AUTO,
        None,
        ModeRequest(OFF),
        "Think step by step",
        ModeChoice(OFF, REQUEST),
    ),
    "a budget of 0 is off, even beside a request for on": (
        AUTO,
        None,
        ModeRequest(ON, think_budget=0),
        None,
        ModeChoice(OFF, REQUEST),
    ),
    "a request's budget goes with the model's own choice": (
        AUTO,
        None,
        ModeRequest(think_budget=100),
        None,
        ModeChoice(AUTO, MODEL, 100),
    ),
    "a spent threshold turns thinking off, whatever the request asks": (
        AUTO,
        BudgetState.THINK_OFF,
        ModeRequest(ON),
        "Think step by step",
        ModeChoice(OFF, BUDGET),
    ),
    "an exhausted budget turns thinking off as well": (
        AUTO,
        BudgetState.EXHAUSTED,
        ModeRequest(),
        None,
        ModeChoice(OFF, BUDGET),
    ),
    "a policy of on outlives the threshold": (ON, BudgetState.THINK_OFF, ModeRequest(), None, ModeChoice(ON, BUDGET)),
    "a policy of on beats a request for off": (ON, None, ModeRequest(OFF), None, ModeChoice(ON, BUDGET)),
    "a policy of on beats a request's budget of 0": (
        ON,
        None,
        ModeRequest(think_budget=0),
        None,
        ModeChoice(ON, BUDGET),
    ),
    "a policy of on keeps a request's positive budget": (
        ON,
        None,
        ModeRequest(think_budget=7),
        None,
        ModeChoice(ON, BUDGET, 7),
    ),
    "a policy of off beats a request for on": (OFF, None, ModeRequest(ON, 50), None, ModeChoice(OFF, BUDGET)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_first_with_an_opinion_decides(case: str) -> None:
    policy, state, request, text, choice = CASES[case]
    assert choose_mode(policy, state, request, text) == choice


@pytest.mark.parametrize(
    ("cap", "asked", "budget"), [(100, 50, 50), (50, 100, 50), (50, None, 50), (None, 50, 50), (None, None, None)]
)
def test_the_smaller_budget_holds(cap: int | None, asked: int | None, budget: int | None) -> None:
    choice = choose_mode(AUTO, None, ModeRequest(ON, asked), None, max_think_tokens=cap)
    assert choice.think_budget == budget


@pytest.mark.parametrize("policy", [AUTO, ON, OFF])
def test_a_tenant_that_may_not_think_at_all_does_not(policy: ModeAsked) -> None:
    choice = choose_mode(policy, None, ModeRequest(ON, 100), "Think hard", max_think_tokens=0)
    assert choice == ModeChoice(OFF, BUDGET)


REQUESTS = st.builds(ModeRequest, st.sampled_from(ModeAsked), st.none() | st.integers(0, 1_000))
TEXTS = st.sampled_from([None, "", "Hi", "Think carefully.", "Answer directly."])
CAPS = st.none() | st.integers(0, 1_000)
STATES = st.none() | st.sampled_from(BudgetState)


@given(policy=st.sampled_from(ModeAsked), state=STATES, request=REQUESTS, text=TEXTS, cap=CAPS)
def test_a_budget_is_positive_and_within_the_tenants(
    policy: ModeAsked, state: BudgetState | None, request: ModeRequest, text: str | None, cap: int | None
) -> None:
    budget = choose_mode(policy, state, request, text, max_think_tokens=cap).think_budget
    assert budget is None or 0 < budget <= (cap if cap is not None else budget)


@given(policy=st.sampled_from([ON, OFF]), state=STATES, request=REQUESTS, text=TEXTS)
def test_nothing_in_a_request_changes_what_a_policy_says(
    policy: ModeAsked, state: BudgetState | None, request: ModeRequest, text: str | None
) -> None:
    choice = choose_mode(policy, state, request, text)
    assert (choice.asked, choice.source) == (policy, BUDGET)


@given(state=STATES, request=REQUESTS, text=TEXTS, cap=CAPS)
def test_the_model_is_the_source_exactly_when_it_judges(
    state: BudgetState | None, request: ModeRequest, text: str | None, cap: int | None
) -> None:
    choice = choose_mode(AUTO, state, request, text, max_think_tokens=cap)
    assert (choice.asked is AUTO) == (choice.source is MODEL)
