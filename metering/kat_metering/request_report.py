"""One request, rated: what it cost, and what the baseline would have cost. Read from the event itself, at once."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, select
from sqlalchemy.engine import RowMapping

from kat.usage_event import Mode, Segment, Status
from kat_metering.comparison import Comparison, CurrencyMismatchError, Excluded, Requests
from kat_metering.errors import ConflictError, NotFoundError
from kat_metering.methods import LeftOut, Method, NoClaim
from kat_metering.money import Money
from kat_metering.prices import PriceBook, UsageLine
from kat_metering.savings import EXPLANATIONS, saving_of
from kat_metering.savings_report import TokenBasis
from kat_metering.store.price_rows import load_prices
from kat_metering.store.shadow_rows import load_samples
from kat_metering.store.tables import usage_event
from kat_metering.token_ratios import RatioBook, Stratum, prompt_bucket
from kat_metering.valuation import BOOTSTRAP_SEED, find_baseline


class RequestSaving(BaseModel):
    """The saving on one request by one method; amounts are None where there is nothing to compare."""

    model_config = ConfigDict(frozen=True)

    amount: Money | None
    baseline_cost: Money | None
    ratio: float | None
    """Baseline tokens assumed for each of ours."""
    label: TokenBasis | None
    reason: LeftOut | NoClaim | None
    """Why there is no comparison, or none but at equal tokens."""
    explanation: str | None


class BaselineCost(BaseModel):
    """What the baseline would have cost, by the most far-reaching method that can be applied."""

    model_config = ConfigDict(frozen=True)

    name: str
    hypothetical: bool
    cost: Money | None


class RequestReport(BaseModel):
    """One rated request."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    time: datetime
    tenant: str
    project: str
    model: str
    mode: Mode
    mode_source: str
    status: Status
    task: str
    tokens: dict[Segment, int]
    cost: Money | None
    currency: str | None
    unpriced_segments: dict[Segment, int]
    baseline: BaselineCost
    savings: dict[Method, RequestSaving]


def request_report(connection: Connection, event_id: UUID, baseline_name: str) -> RequestReport:
    """Raises NotFoundError for an event that was not taken in, or that `connection` may not see."""
    row = connection.execute(select(usage_event).where(usage_event.c.id == event_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"No usage event {event_id}; it appears once its predictor has delivered it.")
    prices = PriceBook(load_prices(connection))
    baseline = find_baseline(connection, baseline_name)
    ratios = RatioBook(
        baseline, load_samples(connection, baseline.name, before=row["occurred_at"]), seed=BOOTSTRAP_SEED
    )
    requests = as_requests(row)
    try:
        savings = {method: _saving(Comparison(prices, baseline, method, ratios), requests) for method in Method}
    except CurrencyMismatchError as error:
        raise ConflictError(f"{error}.") from error
    rated = prices.rate([requests.usage])
    return RequestReport(
        id=row["id"],
        time=row["occurred_at"],
        tenant=row["tenant"],
        project=row["project"],
        model=row["model"],
        mode=requests.usage.mode,
        mode_source=row["mode_source"],
        status=requests.status,
        task=row["task"],
        tokens=dict(requests.usage.tokens),
        cost=rated.cost_or_none,
        currency=prices.currency,
        unpriced_segments=dict(rated.unpriced),
        baseline=BaselineCost(
            name=baseline.name, hypothetical=baseline.hypothetical, cost=savings[Method.L2].baseline_cost
        ),
        savings=savings,
    )


def as_requests(row: RowMapping) -> Requests:
    """An event as usage to rate."""
    mode = Mode(row["mode"])
    bucket = prompt_bucket(row["prompt"] + row["prompt_cached"])
    return Requests(
        count=1,
        stratum=Stratum(row["model"], mode, row["task"], bucket),
        status=Status(row["status"]),
        # Prices change on whole hours only, so the moment itself finds the price of its hour.
        usage=UsageLine(row["model"], mode, row["occurred_at"], {segment: row[segment] for segment in Segment}),
    )


def _saving(comparison: Comparison, requests: Requests) -> RequestSaving:
    result = comparison.compare(requests)
    if isinstance(result, Excluded):
        return RequestSaving(
            amount=None,
            baseline_cost=None,
            ratio=None,
            label=None,
            reason=result.reason,
            explanation=EXPLANATIONS[result.reason],
        )
    saving = saving_of([result])
    return RequestSaving(
        amount=saving.savings,
        baseline_cost=saving.baseline_cost,
        ratio=float(result.ratio),
        label=saving.token_basis,
        reason=result.no_claim,
        explanation=EXPLANATIONS[result.no_claim] if result.no_claim else None,
    )
