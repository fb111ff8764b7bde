"""Usage of one hour as charges in the columns of FOCUS 1.2, one for each SKU: a segment of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import orjson

from kat.usage_event import Mode, Segment
from kat_metering.comparison import PROMPT_SEGMENTS, Compared, Comparison, Requests
from kat_metering.exports.cells import as_text
from kat_metering.methods import Method
from kat_metering.money import cost_of, exact_sum, less_percent, to_decimal
from kat_metering.periods import Window
from kat_metering.prices import Price, PriceBook
from kat_metering.savings_report import TokenBasis

_TOKENS_OF_A_PRICE: Final = 1_000_000
_SECONDS_PLACES: Final = 9
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class ChargeKey:
    """What the charges of one hour share."""

    tenant: str
    hour: datetime
    project: str
    api_key_id: str | None
    model: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class HourOfUsage:
    """The requests of an hour under one key, by stratum and status."""

    key: ChargeKey
    requests: Sequence[Requests]
    engine_seconds: Decimal


@dataclass(frozen=True, slots=True)
class Savings:
    """What the savings columns compare with."""

    baseline: str
    method: Method
    comparison: Comparison


PercentOff = Callable[[str, str, Segment, datetime], Decimal]
"""The discount of a tenant on a segment of a model at a moment, in percent."""


@dataclass(frozen=True, slots=True)
class Charges:
    """Makes charges. `month` is the billing period, `tenants` are names by id."""

    month: Window
    prices: PriceBook
    currency: str
    provider: str
    tenants: dict[str, str]
    invoice_of: Callable[[ChargeKey], str | None]
    percent_off: PercentOff
    savings: Savings | None

    def of(self, usage: HourOfUsage) -> Iterator[dict[str, Any]]:
        """A charge for each segment with tokens; their costs add up to the hour's, exactly.

        Tokens without a price are charges of 0 and say how many they are in `x_UnpricedTokens`. `x_EngineSeconds` is
        split by tokens and adds up; `x_RequestCount` is on the first charge alone, so that it adds up too. An hour
        without any token has no charge.
        """
        tokens = {segment: _tokens(usage, segment) for segment in Segment}
        compared = self._compared(usage)
        seconds = _split(usage.engine_seconds, [count for count in tokens.values() if count])
        count = sum(each.count for each in usage.requests)
        for segment in Segment:
            if tokens[segment]:
                price = self.prices.find(usage.key.model, segment, usage.key.mode, usage.key.hour)
                yield {
                    **self._who(usage.key),
                    **self._when(usage.key),
                    **_sku(usage.key, segment, price),
                    **self._costs(usage.key, segment, tokens[segment], price),
                    "x_RequestCount": count,
                    "x_EngineSeconds": next(seconds),
                    **self._savings(segment, compared),
                }
                count = 0

    def _who(self, key: ChargeKey) -> dict[str, Any]:
        return {
            "BillingAccountId": key.tenant,
            # What a deleted tenant used stays; FOCUS wants a name all the same.
            "BillingAccountName": self.tenants.get(key.tenant, key.tenant),
            "BillingAccountType": "Tenant",
            "InvoiceId": self.invoice_of(key),
            "InvoiceIssuerName": self.provider,
            "ProviderName": self.provider,
            "PublisherName": self.provider,
            "SubAccountId": key.project,
            "SubAccountName": key.project,
            "SubAccountType": "Project",
            "Tags": _json({} if key.api_key_id is None else {"kat/api-key-id": key.api_key_id}),
        }

    def _when(self, key: ChargeKey) -> dict[str, Any]:
        return {
            "BillingPeriodStart": self.month.start,
            "BillingPeriodEnd": self.month.end,
            "ChargePeriodStart": key.hour,
            "ChargePeriodEnd": key.hour + timedelta(hours=1),
        }

    def _costs(self, key: ChargeKey, segment: Segment, tokens: int, price: Price | None) -> dict[str, Any]:
        percent = self.percent_off(key.tenant, key.model, segment, key.hour)
        list_price = _ZERO if price is None else price.per_million
        list_cost = cost_of(tokens, list_price)
        unit_price, cost = less_percent(list_price, percent), less_percent(list_cost, percent)
        return {
            "BilledCost": cost,
            "BillingCurrency": self.currency,
            "ConsumedQuantity": Decimal(tokens),
            "ConsumedUnit": "Tokens",
            "ContractedCost": cost,
            "ContractedUnitPrice": unit_price,
            "EffectiveCost": cost,
            "ListCost": list_cost,
            "ListUnitPrice": list_price,
            "PricingCategory": "Standard",
            "PricingCurrency": self.currency,
            "PricingCurrencyContractedUnitPrice": unit_price,
            "PricingCurrencyEffectiveCost": cost,
            "PricingCurrencyListUnitPrice": list_price,
            "PricingQuantity": cost_of(tokens, Decimal(1)),
            "PricingUnit": f"{_TOKENS_OF_A_PRICE} Tokens",
            "x_UnpricedTokens": tokens if price is None else 0,
            "x_PriceSource": None if price is None else f"{price.source} ({price.source_date})",
        }

    def _compared(self, usage: HourOfUsage) -> list[Compared]:
        if self.savings is None:
            return []
        results = (self.savings.comparison.compare(each) for each in usage.requests)
        return [each for each in results if isinstance(each, Compared)]

    def _savings(self, segment: Segment, compared: Sequence[Compared]) -> dict[str, Any]:
        """The part of the charge that takes part in the comparison, and the baseline's cost of the same part."""
        columns = dict.fromkeys(
            ("x_BaselineModel", "x_SavingsMethod", "x_TokenBasis", "x_ComparedCost", "x_BaselineCost", "x_Savings")
        )
        if self.savings is None or not compared:
            return columns
        ours = exact_sum(line.cost for each in compared for line in each.lines if line.segment is segment)
        baseline = sum((_baseline_cost(each, segment) for each in compared), Fraction(0))
        return {
            "x_BaselineModel": self.savings.baseline,
            "x_SavingsMethod": self.savings.method.value,
            "x_TokenBasis": TokenBasis.weakest(each.token_basis for each in compared).value,
            "x_ComparedCost": ours,
            "x_BaselineCost": to_decimal(baseline),
            "x_Savings": to_decimal(baseline - Fraction(ours)),
        }


def focus_text(value: object) -> object:
    """As FOCUS wants it: times to the second, and numbers with a decimal point, so that a reader takes none for an int."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = as_text(value)
    return f"{text}.0" if isinstance(value, Decimal) and "." not in str(text) else text


def _tokens(usage: HourOfUsage, segment: Segment) -> int:
    return sum(each.usage.tokens[segment] for each in usage.requests)


def _split(seconds: Decimal, weights: Sequence[int]) -> Iterator[Decimal]:
    """Parts in proportion to the weights, to a nanosecond; the last takes what rounding left, so that they add up."""
    total, remaining = sum(weights), seconds
    for weight in weights[:-1]:
        part = to_decimal(Fraction(seconds) * weight / total, _SECONDS_PLACES)
        remaining -= part
        yield part
    yield remaining


def _baseline_cost(compared: Compared, segment: Segment) -> Fraction:
    ratio = compared.prompt_ratio if segment in PROMPT_SEGMENTS else compared.ratio
    return ratio * Fraction(exact_sum(line.cost for line in compared.baseline_lines if line.segment is segment))


def _sku(key: ChargeKey, segment: Segment, price: Price | None) -> dict[str, Any]:
    sku = f"{key.model}/{segment}"
    meter = f"{segment.value.replace('_', ' ').title()} Tokens"
    unpriced = "" if price is not None else ", no price in force"
    # A price is told apart by its mode and its beginning, so its id never comes to mean another one.
    price_id = "unpriced" if price is None else f"{price.mode}@{price.effective_from:%Y-%m-%dT%HZ}"
    return {
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeDescription": f"{key.model} {meter}, thinking {key.mode}{unpriced}",
        "ChargeFrequency": "Usage-Based",
        "CommitmentDiscountStatus": None,
        "ResourceId": key.model,
        "ResourceName": key.model,
        "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Auto-think inference",
        "ServiceSubcategory": "Generative AI",
        "SkuId": sku,
        "SkuMeter": meter,
        "SkuPriceDetails": _json({"x_Model": key.model, "x_TokenType": segment.value}),
        "SkuPriceId": f"{sku}/{price_id}",
        "x_Model": key.model,
        "x_Mode": key.mode.value,
        "x_Segment": segment.value,
    }


def _json(value: dict[str, str]) -> str:
    return orjson.dumps(value).decode()
