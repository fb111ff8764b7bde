"""The states of a budget."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kat.directory import BudgetState
from kat_metering.budgets import budget, budget_state


@pytest.mark.parametrize(
    ("spent", "state"),
    [
        ("0", BudgetState.OK),
        ("79.999999", BudgetState.OK),
        ("80", BudgetState.THINK_OFF),
        ("99.999999", BudgetState.THINK_OFF),
        ("100", BudgetState.EXHAUSTED),
        ("1000", BudgetState.EXHAUSTED),
    ],
)
def test_a_budget_turns_thinking_off_at_its_threshold_and_is_exhausted_at_its_limit(
    spent: str, state: BudgetState
) -> None:
    assert budget_state(monthly=Decimal(100), spent=Decimal(spent), think_off_at=Decimal("0.8")) is state


def test_a_budget_of_nothing_is_exhausted_from_the_start() -> None:
    assert budget_state(monthly=Decimal(0), spent=Decimal(0), think_off_at=Decimal(1)) is BudgetState.EXHAUSTED


def test_a_threshold_of_one_never_turns_thinking_off_before_the_limit() -> None:
    state = budget_state(monthly=Decimal(10), spent=Decimal("9.999999999"), think_off_at=Decimal(1))
    assert state is BudgetState.OK


def test_amounts_are_told_without_exponents() -> None:
    told = budget(monthly=Decimal("1E+3"), spent=Decimal("0E-12"), think_off_at=Decimal("0.80"), currency="USD")
    assert told.model_dump(mode="json") == {
        "monthly": "1000",
        "currency": "USD",
        "spent": "0",
        "think_off_at": "0.8",
        "state": "ok",
    }
