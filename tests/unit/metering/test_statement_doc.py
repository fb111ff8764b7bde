"""The worked statements of docs/billing.md, its price file and what it says of lines are recomputed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from kat.usage_event import Mode, Segment
from kat_metering.defaults import default_prices
from kat_metering.money import exact_sum, plain
from kat_metering.periods import Window
from kat_metering.price_files import parse_prices, read_document
from kat_metering.statement_lines import Credit, UsageCharge
from kat_metering.statements import Statement, rounding_of
from tests.fakes.statements import Ledger, a_discount, terms, used

DOCUMENT = (Path(__file__).parents[3] / "docs" / "billing.md").read_text("utf-8")
OCTOBER, NOVEMBER = Window.month("2026-10"), Window.month("2026-11")
Row = list[str]


def rows_of(name: str) -> list[Row]:
    """The table of a statement, without markup and thousands separators."""
    lines = DOCUMENT.partition(f"| line of {name} |")[2].splitlines()[2:]
    table = lines[: next(place for place, line in enumerate(lines) if not line.startswith("|"))]
    return [[re.sub(r"[`,]", "", cell).strip() for cell in line.strip("|").split("|")] for line in table]


def tokens_of(name: str, month: Window) -> dict[str, int]:
    return {row[0].split()[0]: int(row[2]) for row in rows_of(name) if row[1] == f"{month.start:%Y-%m}"}


@pytest.fixture
def statements() -> list[Statement]:
    """The two statements, closed one after the other with the usage of the tables."""
    model = "KAT-V1-40B"
    ledger = Ledger(terms=terms(default_prices(), [a_discount("20", segment=Segment.THINK)]))
    ledger.events.append(used(OCTOBER.start, model=model, mode=Mode.ON, **tokens_of("KAT-000001", OCTOBER)))
    ledger.close(OCTOBER)
    ledger.events.append(used(OCTOBER.start, model=model, mode=Mode.ON, **tokens_of("KAT-000002", OCTOBER)))
    ledger.events.append(used(NOVEMBER.start, model=model, mode=Mode.ON, **tokens_of("KAT-000002", NOVEMBER)))
    given_back = Decimal(next(row[5] for row in rows_of("KAT-000002") if row[0].startswith("credit")))
    ledger.credits.append(Credit(adjustment=UUID(int=1), corrects="KAT-000001", reason="slow", amount=given_back))
    ledger.close(NOVEMBER)
    return ledger.closed


def printed(statement: Statement) -> list[Row]:
    rows = []
    for line in statement.lines:
        if isinstance(line, UsageCharge):
            late = " (late)" if line.kind == "late_usage" else ""
            numbers = (plain(line.per_million), plain(line.discount_percent), plain(line.amount))
            rows.append([f"{line.segment}{late}", line.month, str(line.tokens), *numbers])
        else:
            of = {"credit": " for KAT-000001", "carried": " from KAT-000001", "rounding": ""}[line.kind]
            rows.append([f"{line.kind}{of}", "", "", "", "", plain(line.amount)])
    return [*rows, ["total", "", "", "", "", plain(statement.total)]]


@pytest.mark.parametrize("place", [0, 1])
def test_each_line_of_the_worked_statements_is_what_the_code_computes(statements: list[Statement], place: int) -> None:
    assert rows_of(statements[place].name) == printed(statements[place])


def test_the_sums_under_the_worked_statements_are_theirs(statements: list[Statement]) -> None:
    usage = exact_sum(line.amount for each in statements for line in each.lines if isinstance(line, UsageCharge))
    first, second = statements
    text = " ".join(DOCUMENT.partition("| `total` | | | | | 0.32 |")[2].split())
    assert text.startswith(
        f"{first.total} + {second.total} is {first.total + second.total}. All usage costs {plain(usage)}; less the"
        f" credit of 0.50 that is {plain(usage - Decimal('0.5'))}; the difference of {plain(-rounding_of(second))} is"
    )


def test_every_kind_of_line_is_explained() -> None:
    for kind in ("late_usage", "carried"):
        assert f"(`{kind}`)" in DOCUMENT


def test_the_price_file_of_the_document_can_be_imported() -> None:
    example = DOCUMENT.partition("```yaml\n")[2].partition("```")[0]
    prices = parse_prices(read_document(example, is_json=False))
    assert [(each.segment, each.mode, str(each.per_million)) for each in prices] == [
        ("think", "any", "0.12"),
        ("answer", "off", "0.09"),
    ]
    assert {each.effective_from for each in prices} == {datetime(2027, 1, 1, tzinfo=UTC)}
