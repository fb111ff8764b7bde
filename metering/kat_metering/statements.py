"""Statements: what a tenant owes for a month. Drafting is arithmetic; nothing here reads or writes.

A draft takes all usage until the end of its month that no closed statement has billed. So what arrives after its month
was closed lands in the next statement, as `late_usage`, and over time every token is billed once: the closed
statements and the open draft together are the valuation of all usage, to the last digit.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from kat.usage_event import Mode, Segment
from kat_metering.discounts import DiscountBook
from kat_metering.errors import ConflictError
from kat_metering.money import Money, difference, exact_sum, payable
from kat_metering.periods import Window
from kat_metering.prices import PriceBook, RatedLine, UsageLine
from kat_metering.statement_lines import SEGMENT_ORDER, Carried, Credit, Line, Month, Rounding, Unpriced, UsageCharge

SCHEMA: Final = "dev.autothink.statement.v1"
FIRST: Final = "0" * 64
"""Stands for the hash of the statement before the first of a series."""


class Draft(BaseModel):
    """What a statement would say if it were closed now."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True)

    schema_version: Annotated[Literal["dev.autothink.statement.v1"], Field(alias="schema")] = SCHEMA
    tenant: str
    tenant_name: str
    month: Month
    start: Annotated[datetime, Field(alias="from")]
    end: Annotated[datetime, Field(alias="to")]
    """Exclusive."""
    currency: str
    as_of: datetime
    """Usage acknowledged before this moment is in it."""
    lines: tuple[Line, ...]
    total: Money
    """The sum of the lines, in whole minor units of the currency."""
    unpriced: tuple[Unpriced, ...]


class Statement(Draft):
    """A closed statement: it never changes. Its hash covers the hash of the one before it in the series."""

    issuer: str
    series: str
    number: int
    """Counts from 1 without gaps in a series."""
    closed_at: datetime
    unpriced_reason: str | None
    """Why it was closed although some usage has no price."""
    previous_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def name(self) -> str:
        return statement_name(self.series, self.number)


@dataclass(frozen=True, slots=True)
class Account:
    """Where a tenant stands before its statement."""

    tenant: str
    tenant_name: str
    last: Statement | None
    """The statement of the last closed month."""
    unbilled: Sequence[UsageLine]
    """Usage until the end of the month, less what closed statements have billed, by hour."""
    credits: Sequence[Credit]
    as_of: datetime

    @property
    def last_closed(self) -> str | None:
        """The last closed month, `YYYY-MM`."""
        return None if self.last is None else self.last.month


@dataclass(frozen=True, slots=True)
class Terms:
    """What an account is valued with."""

    prices: PriceBook
    discounts: DiscountBook
    currency: str


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft, and the usage that it bills: the tokens that have a price."""

    draft: Draft
    billed: tuple[UsageLine, ...]


def statement_name(series: str, number: int) -> str:
    return f"{series}-{number:06d}"


def draft_statement(account: Account, month: Window, terms: Terms) -> Drafted:
    """The statement of a month. Raises ConflictError where less usage is known than was billed already."""
    rated = terms.prices.rate(account.unbilled).lines
    _refuse_shrunk(rated)
    lines: list[Line] = [
        *_charges((line for line in rated if line.price is not None), account, terms),
        *sorted(account.credits, key=lambda credit: credit.adjustment),
    ]
    if account.last is not None and (rounding := rounding_of(account.last)):
        lines.append(Carried(statement=account.last.name, amount=difference(Decimal(0), rounding)))
    exact = exact_sum(line.amount for line in lines)
    total = payable(exact, terms.currency)
    if total != exact:
        lines.append(Rounding(amount=difference(total, exact)))
    draft = Draft(
        tenant=account.tenant,
        tenant_name=account.tenant_name,
        month=f"{month.start:%Y-%m}",
        start=month.start,
        end=month.end,
        currency=terms.currency,
        as_of=account.as_of.astimezone(UTC),
        lines=tuple(lines),
        total=total,
        unpriced=_unpriced(line for line in rated if line.price is None),
    )
    return Drafted(draft, tuple(_billed(rated)))


def months_to_close_first(account: Account, month: str) -> list[str]:
    """Earlier months with usage that were never closed, ascending: a statement is about one month."""
    used = {f"{line.hour:%Y-%m}" for line in account.unbilled}
    return sorted(each for each in used if each < month and (account.last_closed is None or each > account.last_closed))


def rounding_of(statement: Draft) -> Decimal:
    """What rounding added to the sum of the other lines; negative where it took something away."""
    return exact_sum(line.amount for line in statement.lines if isinstance(line, Rounding))


def newly_unpriced(draft: Draft, last: Statement | None) -> list[tuple[int, Unpriced]]:
    """What the draft has without a price that the last statement did not state already, each with its place."""
    stated = {} if last is None else {_unpriced_key(each): each.tokens for each in last.unpriced}
    return [
        (place, each) for place, each in enumerate(draft.unpriced) if each.tokens > stated.get(_unpriced_key(each), 0)
    ]


def canonical(statement: Statement) -> str:
    """The statement as the JSON that is stored and hashed: keys sorted, no blanks, UTF-8, amounts as text."""
    return orjson.dumps(statement.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS).decode()


def sha256_of(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()


def _unpriced_key(unpriced: Unpriced) -> tuple[str, str, Mode, Segment]:
    return unpriced.month, unpriced.model, unpriced.mode, unpriced.segment


def _refuse_shrunk(rated: Iterable[RatedLine]) -> None:
    for line in rated:
        if line.tokens < 0:
            raise ConflictError(
                f"Less usage of {line.usage.model} is known in {line.usage.hour:%Y-%m} than was billed: events were lost, "
                "or the roll-up was built without them."
            )


def _charges(priced: Iterable[RatedLine], account: Account, terms: Terms) -> list[UsageCharge]:
    """One line for all tokens of a month, model, mode and segment that share price and discount."""
    tokens: dict[tuple[str, str, Mode, Segment, Decimal, Decimal], int] = defaultdict(int)
    for line in priced:
        assert line.price is not None  # noqa: S101 - the caller leaves the others out
        usage = line.usage
        percent = terms.discounts.percent(usage.model, line.segment, usage.hour)
        key = (f"{usage.hour:%Y-%m}", usage.model, usage.mode, line.segment, line.price.per_million, percent)
        tokens[key] += line.tokens
    charges = [
        UsageCharge.of(
            month=month,
            model=model,
            mode=mode,
            segment=segment,
            tokens=count,
            per_million=per_million,
            discount_percent=percent,
            late=account.last_closed is not None and month <= account.last_closed,
        )
        for (month, model, mode, segment, per_million, percent), count in sorted(
            tokens.items(), key=lambda item: (*item[0][:3], SEGMENT_ORDER[item[0][3]], *item[0][4:])
        )
    ]
    return sorted(charges, key=lambda charge: charge.kind == "late_usage")


def _unpriced(lines: Iterable[RatedLine]) -> tuple[Unpriced, ...]:
    tokens: dict[tuple[str, str, Mode, Segment], int] = defaultdict(int)
    for line in lines:
        tokens[f"{line.usage.hour:%Y-%m}", line.usage.model, line.usage.mode, line.segment] += line.tokens
    return tuple(
        Unpriced(month=month, model=model, mode=mode, segment=segment, tokens=count)
        for (month, model, mode, segment), count in sorted(
            tokens.items(), key=lambda item: (*item[0][:3], SEGMENT_ORDER[item[0][3]])
        )
    )


def _billed(rated: Iterable[RatedLine]) -> Iterable[UsageLine]:
    tokens: dict[tuple[datetime, str, Mode], dict[Segment, int]] = defaultdict(lambda: defaultdict(int))
    for line in rated:
        if line.price is not None:
            tokens[line.usage.hour, line.usage.model, line.usage.mode][line.segment] += line.tokens
    for (hour, model, mode), by_segment in tokens.items():
        yield UsageLine(model, mode, hour, dict(by_segment))
