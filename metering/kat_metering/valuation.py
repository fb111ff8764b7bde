"""Reports and single requests, valued with the prices, baselines and samples that the database holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from kat_metering.baselines import Baseline
from kat_metering.comparison import CurrencyMismatchError
from kat_metering.errors import ConflictError, FieldError, InvalidError
from kat_metering.methods import Method
from kat_metering.prices import PriceBook
from kat_metering.savings import Inputs, savings_report
from kat_metering.savings_report import SavingsReport
from kat_metering.store.price_rows import load_baselines, load_prices
from kat_metering.store.shadow_rows import load_samples
from kat_metering.token_ratios import RatioBook
from kat_metering.usage import UsageQuery, UsageReport, hourly_usage, rollup_as_of, usage_report

DEFAULT_BASELINE: Final = "kat-v1-200b"
BOOTSTRAP_SEED: Final = 20_250_721
"""Any number would do; a fixed one gives every reader of a report the same interval."""


@dataclass(frozen=True, slots=True)
class BaselineChoice:
    """By what to judge: the name of a baseline, and a method."""

    name: str = DEFAULT_BASELINE
    method: Method = Method.L2


def find_baseline(connection: Connection, name: str) -> Baseline:
    """The baseline of that name. Raises InvalidError."""
    baselines = load_baselines(connection)
    for baseline in baselines:
        if baseline.name == name:
            return baseline
    known = ", ".join(baseline.name for baseline in baselines) or "none"
    raise InvalidError(f"There is no baseline {name!r}.", errors=[FieldError("baseline", f"known ones: {known}")])


def usage(connection: Connection, query: UsageQuery) -> UsageReport:
    return usage_report(connection, query, PriceBook(load_prices(connection)))


def savings(connection: Connection, query: UsageQuery, choice: BaselineChoice) -> SavingsReport:
    """Raises InvalidError for an unknown baseline, ConflictError where prices and baseline differ in currency."""
    prices = PriceBook(load_prices(connection))
    baseline = find_baseline(connection, choice.name)
    samples = load_samples(connection, baseline.name, before=query.window.end)
    boundaries = sorted({*prices.boundaries, *baseline.price_book().boundaries})
    try:
        return savings_report(
            Inputs(
                usage=hourly_usage(connection, query, boundaries),
                prices=prices,
                baseline=baseline,
                ratios=RatioBook(baseline, samples, seed=BOOTSTRAP_SEED),
                method=choice.method,
                start=query.window.start,
                end=query.window.end,
                as_of=rollup_as_of(connection),
            )
        )
    except CurrencyMismatchError as error:
        raise ConflictError(f"{error}.") from error
