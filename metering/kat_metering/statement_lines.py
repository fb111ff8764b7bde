"""The lines of a statement. Their amounts are exact; they add up to the total to the last digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from kat.usage_event import Mode, Segment
from kat_metering.money import Money, cost_of, less_percent

Month = Annotated[str, Field(pattern=r"^\d{4}-\d{2}$", examples=["2026-11"])]
"""A calendar month in UTC."""


class UsageCharge(BaseModel):
    """Tokens of one segment at one price. `late_usage`: of a month that was closed before they were known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["usage", "late_usage"]
    month: Month
    """The month in which the tokens were used."""
    model: str
    mode: Mode
    segment: Segment
    tokens: int
    per_million: Money
    """The price of a million tokens."""
    list_amount: Money
    """tokens * per_million / 1,000,000, before the discount."""
    discount_percent: Money
    amount: Money
    """list_amount * (100 - discount_percent) / 100."""

    @classmethod
    def of(
        cls,
        *,
        month: str,
        model: str,
        mode: Mode,
        segment: Segment,
        tokens: int,
        per_million: Decimal,
        discount_percent: Decimal,
        late: bool,
    ) -> UsageCharge:
        list_amount = cost_of(tokens, per_million)
        return cls(
            kind="late_usage" if late else "usage",
            month=month,
            model=model,
            mode=mode,
            segment=segment,
            tokens=tokens,
            per_million=per_million,
            list_amount=list_amount,
            discount_percent=discount_percent,
            amount=less_percent(list_amount, discount_percent),
        )

    def adds_up(self) -> bool:
        """Whether the amounts are those of tokens, price and discount."""
        expected = cost_of(self.tokens, self.per_million)
        return (self.list_amount, self.amount) == (expected, less_percent(expected, self.discount_percent))


class Credit(BaseModel):
    """An adjustment: money given back for a statement that was closed before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["credit"] = "credit"
    adjustment: UUID
    corrects: str
    """The name of the statement corrected."""
    reason: str
    amount: Money
    """Negative."""


class Carried(BaseModel):
    """What rounding added to the tenant's statement before, or took from it, given back: nothing is lost over time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["carried"] = "carried"
    statement: str
    """The name of the statement before."""
    amount: Money


class Rounding(BaseModel):
    """From the exact sum of the other lines to whole minor units of the currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["rounding"] = "rounding"
    amount: Money


Line = Annotated[UsageCharge | Credit | Carried | Rounding, Field(discriminator="kind")]


class Unpriced(BaseModel):
    """Tokens for which no price was in force. They are in no line; once they have a price, a later statement has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    month: Month
    model: str
    mode: Mode
    segment: Segment
    tokens: int


SEGMENT_ORDER: Final = {segment: place for place, segment in enumerate(Segment)}
