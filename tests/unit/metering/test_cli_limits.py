"""Options of tenants and keys as a JSON merge patch, and how limits and budgets are told."""

from __future__ import annotations

from typing import Any

import pytest

from kat_metering.cli_limits import budget_told, limits_told, merge_patch

NO_LIMITS = {"requests_per_minute": None, "tokens_per_minute": None, "concurrency": None}


@pytest.mark.parametrize(
    ("given", "patch"),
    [
        ({"name": None, "weight": None}, {}),
        ({"name": "Acme", "weight": "2"}, {"name": "Acme", "weight": "2"}),
        ({"monthly_budget": "none"}, {"monthly_budget": None}),
        (
            {"concurrency": "4", "tokens_per_minute": "none"},
            {"limits": {"concurrency": "4", "tokens_per_minute": None}},
        ),
        ({"think_off_at": ""}, {"think_off_at": ""}),
    ],
    ids=["left out", "given", "taken away", "limits together", "an empty text is metering's to refuse"],
)
def test_options_become_the_patch_that_the_api_takes(given: dict[str, str | None], patch: dict[str, Any]) -> None:
    assert merge_patch(given) == patch


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (NO_LIMITS, ""),
        ({**NO_LIMITS, "tokens_per_minute": 100_000}, "100,000 tokens/min"),
        ({**NO_LIMITS, "requests_per_minute": 60, "concurrency": 4}, "60 requests/min, 4 at once"),
    ],
)
def test_limits_are_told_with_their_units(limits: dict[str, int | None], told: str) -> None:
    assert limits_told({"limits": limits}) == told


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("ok", "12.50 of 50.00 USD"),
        ("think_off", "12.50 of 50.00 USD (think-off)"),
        ("exhausted", "12.50 of 50.00 USD (exhausted)"),
    ],
)
def test_a_budget_is_told_with_what_it_leads_to(state: str, told: str) -> None:
    budget = {"monthly": "50", "spent": "12.5", "currency": "USD", "think_off_at": "0.8", "state": state}
    assert budget_told({"budget": budget}) == told


def test_without_a_budget_nothing_is_told() -> None:
    assert not budget_told({"budget": None})
