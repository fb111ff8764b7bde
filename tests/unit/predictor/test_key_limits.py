"""A key's own limits and budget, beside its tenant's: the stricter decides."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import product
from uuid import UUID

import pytest

from kat.directory import Budget, BudgetState, Limits
from kat_predictor.admission import Admission, AdmissionLimits
from kat_predictor.errors import ApiError, BudgetExhausted, RateLimited
from kat_predictor.tenants import Caller
from tests.fakes.clock import Clock
from tests.fakes.tenants import a_caller

OTHER_KEY = UUID("0196f2a0-0000-7000-8000-000000000002")
SEVERITY = [None, BudgetState.OK, BudgetState.THINK_OFF, BudgetState.EXHAUSTED]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(clock: Clock) -> Admission:
    limits = AdmissionLimits(max_concurrent_requests=9, max_queued_requests=9, max_queued_tokens=10_000)
    return Admission(limits, monotonic=clock.monotonic, now=clock.now)


def with_key(caller: Caller, *, key_id: UUID | None = None, budget: BudgetState | None = None, **limits: int) -> Caller:
    """The caller, by a key with limits of its own."""
    changes: dict[str, object] = {
        "limits": Limits(**limits),
        "budget": None
        if budget is None
        else Budget(monthly=Decimal(7), currency="USD", spent=Decimal(7), think_off_at=Decimal("0.8"), state=budget),
    }
    if key_id is not None:
        changes["id"] = key_id
    return replace(caller, key=caller.key.model_copy(update=changes))


async def refusal(admission: Admission, caller: Caller, tokens: int = 10) -> ApiError:
    with pytest.raises(ApiError) as caught:
        async with admission.admit(caller, tokens):
            pass
    return caught.value


async def used(admission: Admission, caller: Caller, tokens: int = 10) -> None:
    async with admission.admit(caller, tokens):
        pass


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({"requests_per_minute": 1}, "1 requests per minute of this API key"),
        ({"tokens_per_minute": 10}, "10 tokens per minute of this API key"),
    ],
)
async def test_a_keys_own_rates_are_limited(admission: Admission, limits: dict[str, int], complaint: str) -> None:
    caller = with_key(a_caller(), key_id=None, budget=None, **limits)
    await used(admission, caller)
    error = await refusal(admission, caller)
    assert isinstance(error, RateLimited)
    assert complaint in str(error)


async def test_a_keys_own_concurrency_is_limited(admission: Admission) -> None:
    caller = with_key(a_caller(), concurrency=1)
    async with admission.admit(caller, 10):
        assert "1 requests at once of this API key" in str(await refusal(admission, caller))
    await used(admission, caller)


async def test_one_keys_limit_is_not_that_of_another_key_of_the_tenant(admission: Admission) -> None:
    await used(admission, with_key(a_caller(), requests_per_minute=1))
    await used(admission, with_key(a_caller(), key_id=OTHER_KEY, requests_per_minute=1))


async def test_all_keys_of_a_tenant_share_the_tenants_limit(admission: Admission) -> None:
    caller = a_caller(requests_per_minute=1)
    await used(admission, with_key(caller, requests_per_minute=5))
    error = await refusal(admission, with_key(caller, key_id=OTHER_KEY, requests_per_minute=5))
    assert "of this API key" not in str(error)


@pytest.mark.parametrize(("of_tenant", "of_key"), [(1, 2), (2, 1)])
async def test_the_longer_of_the_two_waits_is_told(admission: Admission, of_tenant: int, of_key: int) -> None:
    caller = with_key(a_caller(tokens_per_minute=of_tenant * 10), tokens_per_minute=of_key * 10)
    await used(admission, caller, tokens=10)
    async with admission.admit(with_key(caller, key_id=OTHER_KEY), 0) as slot:
        slot.settle(10)
    assert (await refusal(admission, caller)).retry_after == pytest.approx({1: 120.0, 2: 60.0}[of_tenant])


async def test_a_refusal_by_the_key_takes_nothing_from_the_tenant(admission: Admission) -> None:
    tenant = a_caller(requests_per_minute=2)
    caller = with_key(tenant, requests_per_minute=1)
    await used(admission, caller)
    for _ in range(5):
        await refusal(admission, caller)
    await used(admission, with_key(tenant, key_id=OTHER_KEY))


async def test_tokens_that_were_not_used_go_back_to_tenant_and_key(admission: Admission) -> None:
    caller = with_key(a_caller(tokens_per_minute=60), tokens_per_minute=60)
    async with admission.admit(caller, 60) as slot:
        slot.settle(20)
    await used(admission, caller, tokens=40)


async def test_a_limit_that_a_key_gets_or_loses_holds_from_the_next_request(admission: Admission) -> None:
    caller = a_caller()
    await used(admission, caller)
    limited = with_key(caller, requests_per_minute=1)
    await used(admission, limited)
    await refusal(admission, limited)
    await used(admission, caller)


async def test_a_key_whose_budget_is_spent_is_refused_until_the_next_month(admission: Admission, clock: Clock) -> None:
    error = await refusal(admission, with_key(a_caller(), budget=BudgetState.EXHAUSTED))
    assert isinstance(error, BudgetExhausted)
    assert "The monthly budget of this API key of 7 USD is spent" in str(error)
    assert error.retry_after == pytest.approx(16.5 * 24 * 3600)


@pytest.mark.parametrize(("of_tenant", "of_key"), list(product(SEVERITY, SEVERITY)))
def test_the_worse_of_two_budgets_decides_whether_to_think(
    of_tenant: BudgetState | None, of_key: BudgetState | None
) -> None:
    caller = with_key(a_caller(budget=of_tenant), budget=of_key)
    assert caller.budget_state == max(of_tenant, of_key, key=SEVERITY.index)
