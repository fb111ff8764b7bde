"""Usage to bill, prices to bill it with, and statements that were closed one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from kat.usage_event import Mode, Segment
from kat_metering.discounts import Discount, DiscountBook
from kat_metering.periods import Window
from kat_metering.prices import Price, PriceBook, UsageLine
from kat_metering.statement_chain import BilledKey, StoredStatement
from kat_metering.statement_lines import Credit, UsageCharge
from kat_metering.statements import (
    FIRST,
    Account,
    Drafted,
    Statement,
    Terms,
    canonical,
    draft_statement,
    sha256_of,
)

JANUARY, FEBRUARY, MARCH, APRIL = (Window.month(f"2026-0{month}") for month in (1, 2, 3, 4))
CLOSED_AT = datetime(2027, 1, 1, tzinfo=UTC)


def a_price(segment: Segment = Segment.THINK, per_million: str = "0.10", **changed: Any) -> Price:
    return Price.model_validate(
        {
            "model": "M",
            "segment": segment,
            "per_million": Decimal(per_million),
            "currency": "USD",
            "effective_from": datetime(2025, 1, 1, tzinfo=UTC),
            "basis": "compute",
            "source": "a contract",
            "source_date": date(2025, 1, 1),
            **changed,
        }
    )


def a_discount(percent: str = "10", **changed: Any) -> Discount:
    return Discount.model_validate(
        {
            "tenant": "acme",
            "percent": Decimal(percent),
            "effective_from": datetime(2025, 1, 1, tzinfo=UTC),
            "reason": "volume",
            **changed,
        }
    )


def used(hour: datetime, *, model: str = "M", mode: Mode = Mode.ON, **tokens: int) -> UsageLine:
    return UsageLine(model, mode, hour, {Segment(name): count for name, count in tokens.items()})


def terms(prices: Iterable[Price] | None = None, discounts: Iterable[Discount] = (), currency: str = "USD") -> Terms:
    book = [a_price(segment) for segment in Segment] if prices is None else prices
    return Terms(PriceBook(book), DiscountBook(discounts), currency)


def an_account(*unbilled: UsageLine, **changed: Any) -> Account:
    values: dict[str, Any] = {
        "tenant": "acme",
        "tenant_name": "Acme",
        "last": None,
        "credits": (),
        "as_of": CLOSED_AT,
    }
    return Account(unbilled=unbilled, **{**values, **changed})


@dataclass(slots=True)
class Ledger:
    """What one tenant used and was billed, kept as the database keeps it, in memory."""

    terms: Terms = field(default_factory=terms)
    events: list[UsageLine] = field(default_factory=list)
    billed: list[UsageLine] = field(default_factory=list)
    stored: list[StoredStatement] = field(default_factory=list)
    credits: list[Credit] = field(default_factory=list)
    series: str = "KAT"

    @property
    def closed(self) -> list[Statement]:
        return [Statement.model_validate_json(each.document) for each in self.stored]

    def draft(self, month: Window) -> Drafted:
        account = an_account(
            *_less([each for each in self.events if each.hour < month.end], self.billed),
            last=self.closed[-1] if self.stored else None,
            credits=tuple(self.credits),
        )
        return draft_statement(account, month, self.terms)

    def close(self, month: Window) -> Statement:
        drafted = self.draft(month)
        chain = [each for each in self.stored if each.series == self.series]
        statement = Statement(
            **dict(drafted.draft),
            issuer="kat-serving",
            series=self.series,
            number=len(chain) + 1,
            closed_at=CLOSED_AT,
            unpriced_reason="a trial" if drafted.draft.unpriced else None,
            previous_sha256=chain[-1].sha256 if chain else FIRST,
        )
        self.billed += drafted.billed
        self.stored.append(as_stored(statement, drafted.billed))
        self.credits.clear()
        return statement


def as_stored(statement: Statement, billed: Sequence[UsageLine]) -> StoredStatement:
    tokens: Counter[BilledKey] = Counter()
    for line in billed:
        for segment, count in line.tokens.items():
            tokens[f"{line.hour:%Y-%m}", line.model, line.mode.value, segment.value] += count
    document = canonical(statement)
    return StoredStatement(
        series=statement.series,
        number=statement.number,
        tenant=statement.tenant,
        month=statement.month,
        currency=statement.currency,
        total=statement.total,
        previous_sha256=statement.previous_sha256,
        sha256=sha256_of(document),
        document=document,
        billed=tokens,
        credits={line.adjustment: (line.corrects, line.amount) for line in statement.lines if isinstance(line, Credit)},
    )


def charges(statement: Any) -> list[UsageCharge]:
    return [line for line in statement.lines if isinstance(line, UsageCharge)]


def _less(events: Iterable[UsageLine], billed: Iterable[UsageLine]) -> list[UsageLine]:
    left: dict[tuple[datetime, str, Mode], Counter[Segment]] = {}
    for sign, lines in ((1, events), (-1, billed)):
        for line in lines:
            counts = left.setdefault((line.hour, line.model, line.mode), Counter())
            for segment, tokens in line.tokens.items():
                counts[segment] += sign * tokens
    return [UsageLine(model, mode, hour, dict(tokens)) for (hour, model, mode), tokens in sorted(left.items())]
