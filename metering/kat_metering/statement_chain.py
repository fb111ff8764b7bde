"""Checking closed statements: the chain of their hashes, their numbers, their sums, and what they say they billed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from kat_metering.money import exact_sum, payable
from kat_metering.statement_lines import Carried, Credit, Rounding, UsageCharge
from kat_metering.statements import FIRST, Statement, rounding_of, sha256_of, statement_name

BilledKey = tuple[str, str, str, str]
"""Month, model, mode, segment."""


@dataclass(frozen=True, slots=True)
class StoredStatement:
    """A closed statement as the database holds it."""

    series: str
    number: int
    tenant: str
    month: str
    currency: str
    total: Decimal
    previous_sha256: str
    sha256: str
    document: str
    billed: Mapping[BilledKey, int]
    """Tokens that were recorded as billed with it."""
    credits: Mapping[UUID, tuple[str, Decimal]]
    """The adjustments recorded with it: the statement that each corrects, and its amount."""

    @property
    def name(self) -> str:
        return statement_name(self.series, self.number)


@dataclass(frozen=True, slots=True)
class _Carry:
    """What a statement took over from the one before of its tenant, and leaves to the next."""

    month: str
    name: str
    carried: tuple[tuple[str, Decimal], ...]
    rounding: Decimal


class Finding(BaseModel):
    """Something wrong with one statement."""

    model_config = ConfigDict(frozen=True)

    statement: str
    problem: str


class SeriesHead(BaseModel):
    """The end of a series. Whoever notes it down elsewhere can tell later whether anything before it was changed."""

    model_config = ConfigDict(frozen=True)

    series: str
    statements: int
    last: str
    sha256: str


class Verification(BaseModel):
    """What a check of every closed statement found."""

    model_config = ConfigDict(frozen=True)

    statements: int
    intact: bool
    heads: list[SeriesHead]
    findings: list[Finding]


def verify(stored: Iterable[StoredStatement], *, known_sha256: str | None = None) -> Verification:
    """Check statements, given by series and number. `known_sha256`: a hash noted down before, which must still occur."""
    findings: list[Finding] = []
    heads: dict[str, SeriesHead] = {}
    roundings: dict[str, list[_Carry]] = defaultdict(list)
    seen_known = known_sha256 is None
    for each in stored:
        seen_known = seen_known or each.sha256 == known_sha256
        head = heads.get(each.series)
        problems = [*_link_problems(each, head), *_content_problems(each, roundings)]
        findings += [Finding(statement=each.name, problem=problem) for problem in problems]
        heads[each.series] = SeriesHead(
            series=each.series, statements=(head.statements if head else 0) + 1, last=each.name, sha256=each.sha256
        )
    for of_tenant in roundings.values():
        findings += _carry_findings(of_tenant)
    if not seen_known:
        findings.append(Finding(statement="-", problem=f"no statement has the hash {known_sha256}"))
    return Verification(
        statements=sum(head.statements for head in heads.values()),
        intact=not findings,
        heads=list(heads.values()),
        findings=findings,
    )


def _link_problems(stored: StoredStatement, head: SeriesHead | None) -> Iterator[str]:
    number_before = 0 if head is None else int(head.last.rpartition("-")[2])
    if stored.number != number_before + 1:
        yield f"its number does not follow {number_before}: statements are missing"
    if stored.previous_sha256 != (FIRST if head is None else head.sha256):
        yield "it does not hold the hash of the statement before it"
    if sha256_of(stored.document) != stored.sha256:
        yield "its content does not have its hash: it was changed"


def _content_problems(stored: StoredStatement, roundings: dict[str, list[_Carry]]) -> Iterator[str]:
    try:
        statement = Statement.model_validate_json(stored.document)
    except ValidationError as error:
        yield f"its document cannot be read: {error.error_count()} errors"
        return
    columns = (stored.series, stored.number, stored.tenant, stored.month, stored.currency, stored.total)
    written = (
        statement.series,
        statement.number,
        statement.tenant,
        statement.month,
        statement.currency,
        statement.total,
    )
    if columns != written or stored.previous_sha256 != statement.previous_sha256:
        yield "its columns say something else than its document"
    yield from _sum_problems(statement)
    yield from _record_problems(statement, stored)
    carried = tuple((line.statement, line.amount) for line in statement.lines if isinstance(line, Carried))
    roundings[statement.tenant].append(_Carry(statement.month, statement.name, carried, rounding_of(statement)))


def _sum_problems(statement: Statement) -> Iterator[str]:
    for place, line in enumerate(statement.lines, 1):
        if isinstance(line, UsageCharge) and not line.adds_up():
            yield f"line {place} is not its tokens at its price less its discount"
    if exact_sum(line.amount for line in statement.lines) != statement.total:
        yield "its lines do not add up to its total"
    before_rounding = exact_sum(line.amount for line in statement.lines if not isinstance(line, Rounding))
    if payable(before_rounding, statement.currency) != statement.total:
        yield "its total is not the rounded sum of its lines"


def _record_problems(statement: Statement, stored: StoredStatement) -> Iterator[str]:
    tokens: dict[BilledKey, int] = defaultdict(int)
    for line in statement.lines:
        if isinstance(line, UsageCharge):
            tokens[line.month, line.model, line.mode.value, line.segment.value] += line.tokens
    if tokens != {key: count for key, count in stored.billed.items() if count}:
        yield "the usage recorded as billed with it is not that of its lines"
    credit_lines = {
        line.adjustment: (line.corrects, line.amount) for line in statement.lines if isinstance(line, Credit)
    }
    if credit_lines != stored.credits:
        yield "the adjustments recorded with it are not its credits"


def _carry_findings(of_tenant: list[_Carry]) -> Iterator[Finding]:
    """By month: a tenant's statements may be in several series."""
    for before, each in pairwise([None, *sorted(of_tenant, key=lambda carry: carry.month)]):
        assert each is not None  # noqa: S101 - None is first only
        expected = () if before is None or not before.rounding else ((before.name, -before.rounding),)
        if each.carried != expected:
            problem = "what it carries over is not the rounding of the tenant's statement before"
            yield Finding(statement=each.name, problem=problem)
