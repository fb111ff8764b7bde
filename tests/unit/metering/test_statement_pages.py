"""The page of a statement: what people read, and nothing that a tenant's text could make of it."""

from __future__ import annotations

import re
from decimal import Decimal
from html.parser import HTMLParser
from uuid import UUID

import pytest

from kat_metering.money import exact_sum
from kat_metering.statement_lines import Credit
from kat_metering.statement_pages import statement_page
from tests.fakes.statements import FEBRUARY, JANUARY, Ledger, used

NASTY = "</p><img src=x onerror=alert(1)>"


class _Cells(HTMLParser):
    """The texts of a page's table rows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self._in_cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data


def rows(page: str) -> list[list[str]]:
    cells = _Cells()
    cells.feed(page)
    return cells.rows


@pytest.fixture
def ledger() -> Ledger:
    """January closed; of February: usage, late usage, a credit, unpriced usage."""
    ledger = Ledger(events=[used(JANUARY.start, think=1_033_333), used(FEBRUARY.start, think=2_044_444)])
    ledger.close(JANUARY)
    ledger.events += [used(JANUARY.start, answer=70_000), used(FEBRUARY.start, model="N", answer=77)]
    ledger.credits.append(Credit(adjustment=UUID(int=7), corrects="KAT-000001", reason=NASTY, amount=Decimal("-0.02")))
    return ledger


def test_the_summary_of_a_page_adds_up_to_its_total(ledger: Ledger) -> None:
    statement = ledger.close(FEBRUARY)
    table = rows(statement_page(statement, sha256="0" * 64))
    last = next(place for place, row in enumerate(table) if row[0].startswith("Total in"))
    parts = [Decimal(row[1]) for row in table[last - 5 : last]]
    assert [row[0].partition(":")[0] for row in table[last - 5 : last]] == [
        "Usage",
        "Late usage of months that were closed before it was known",
        "Credit for KAT-000001",
        "Rounding of KAT-000001, given back",
        "Rounding",
    ]
    assert exact_sum(parts) == statement.total == Decimal(table[last][1])


def test_a_draft_says_that_it_is_one_and_has_no_number(ledger: Ledger) -> None:
    page = statement_page(ledger.draft(FEBRUARY).draft)
    assert "<h1>Draft statement</h1>" in page
    assert "KAT-000002" not in page


def test_unpriced_usage_and_the_reason_are_on_the_page(ledger: Ledger) -> None:
    page = statement_page(ledger.close(FEBRUARY), sha256="0" * 64)
    assert ["2026-02", "N", "on", "answer", "77"] in rows(page)
    assert "because: a trial" in page


def test_text_of_people_is_text_and_nothing_comes_from_elsewhere(ledger: Ledger) -> None:
    page = statement_page(ledger.close(FEBRUARY), sha256="0" * 64)
    assert "&lt;img" in page
    assert not re.search(r"<(img|script|link|iframe)|https?://|url\(", page)
