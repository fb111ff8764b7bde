"""Verifying closed statements: an intact chain passes, and every way to tamper with it is found where it happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import orjson
import pytest

from kat_metering.statement_chain import StoredStatement, Verification, verify
from kat_metering.statement_lines import Credit
from kat_metering.statements import sha256_of
from tests.fakes.statements import FEBRUARY, JANUARY, MARCH, Ledger, used


@pytest.fixture
def stored() -> list[StoredStatement]:
    """Three statements with usage, late usage, a credit, rounding and what it carries over."""
    ledger = Ledger(events=[used(month.start, think=1_033_333) for month in (JANUARY, FEBRUARY, MARCH)])
    ledger.close(JANUARY)
    ledger.events.append(used(JANUARY.start, answer=70_000))
    ledger.credits.append(Credit(adjustment=UUID(int=7), corrects="KAT-000001", reason="slow", amount=Decimal("-0.02")))
    ledger.close(FEBRUARY)
    ledger.close(MARCH)
    return ledger.stored


def broken(found: Verification) -> set[str]:
    return {each.statement for each in found.findings}


def rewritten(stored: StoredStatement, old: str, new: str) -> StoredStatement:
    """With another document, and the hash of that."""
    assert old in stored.document
    document = stored.document.replace(old, new, 1)
    return replace(stored, document=document, sha256=sha256_of(document))


def test_an_intact_chain_is_told_to_be_so_with_its_end(stored: list[StoredStatement]) -> None:
    found = verify(stored)
    [head] = found.heads
    assert (found.intact, found.statements, found.findings) == (True, 3, [])
    assert (head.last, head.statements, head.sha256) == ("KAT-000003", 3, stored[-1].sha256)


def test_no_statements_are_intact() -> None:
    assert verify([]).intact


def test_the_hash_of_a_document_is_that_of_its_canonical_json(stored: list[StoredStatement]) -> None:
    for each in stored:
        canonical = orjson.dumps(orjson.loads(each.document), option=orjson.OPT_SORT_KEYS).decode()
        assert sha256_of(canonical) == each.sha256


TAMPERING: dict[str, Callable[[StoredStatement], StoredStatement]] = {
    "an amount changed in the document": lambda it: replace(it, document=it.document.replace("0.0", "0.1", 1)),
    "a total changed in its column": lambda it: replace(it, total=it.total + 1),
    "a tenant changed in its column": lambda it: replace(it, tenant="globex"),
    "usage taken from what was billed": lambda it: replace(it, billed=dict(list(it.billed.items())[1:])),
    "usage added to what was billed": lambda it: replace(it, billed={**it.billed, ("2026-02", "M", "on", "judge"): 1}),
    "a credit lost": lambda it: replace(it, credits={}),
    "a document that is none": lambda it: replace(it, document="{}", sha256=sha256_of("{}")),
}


@pytest.mark.parametrize("tampering", TAMPERING.values(), ids=TAMPERING.keys())
def test_tampering_with_a_statement_is_found_at_that_statement(
    stored: list[StoredStatement], tampering: Callable[[StoredStatement], StoredStatement]
) -> None:
    first, second, third = stored
    assert "KAT-000002" in broken(verify([first, tampering(second), third]))


def test_a_statement_that_is_missing_is_found_at_the_next(stored: list[StoredStatement]) -> None:
    assert broken(verify([stored[0], stored[2]])) == {"KAT-000003"}


def test_a_document_written_anew_with_its_hash_breaks_the_next_link(stored: list[StoredStatement]) -> None:
    first, second, third = stored
    found = verify([rewritten(first, '"Acme"', '"Acne"'), second, third])
    assert [(each.statement, each.problem) for each in found.findings] == [
        ("KAT-000002", "it does not hold the hash of the statement before it")
    ]


def test_lines_that_do_not_add_up_are_found_even_where_every_hash_fits(stored: list[StoredStatement]) -> None:
    last = rewritten(stored[2], '"tokens":1033333', '"tokens":2033333')
    problems = {each.problem for each in verify([*stored[:2], last]).findings}
    assert any(problem.startswith("line 1 is not its tokens") for problem in problems)
    assert "the usage recorded as billed with it is not that of its lines" in problems


def test_a_chain_written_anew_from_the_start_is_found_by_a_hash_noted_before(stored: list[StoredStatement]) -> None:
    noted = stored[1].sha256
    other = Ledger(events=[used(JANUARY.start, think=1)])
    other.close(JANUARY)
    assert verify(stored, known_sha256=noted).intact
    assert verify(other.stored).intact
    assert not verify(other.stored, known_sha256=noted).intact


def test_each_series_is_a_chain_of_its_own() -> None:
    ledgers = [Ledger(events=[used(JANUARY.start, think=1)]) for _ in range(2)]
    one, other = (ledger.close(JANUARY) for ledger in ledgers)
    assert one == other
    renamed = ledgers[1].stored[0].document.replace('"KAT"', '"ZED"').replace('"acme"', '"globex"')
    second = replace(ledgers[1].stored[0], series="ZED", tenant="globex", document=renamed, sha256=sha256_of(renamed))
    found = verify([ledgers[0].stored[0], second])
    assert [(head.last, head.statements) for head in found.heads] == [("KAT-000001", 1), ("ZED-000001", 1)]
    assert found.intact


def test_what_is_carried_over_follows_the_months_where_a_tenant_changes_series() -> None:
    ledger = Ledger(events=[used(month.start, think=1_033_333) for month in (JANUARY, FEBRUARY)])
    ledger.close(JANUARY)
    ledger.series = "A"  # before KAT in the order of series, after it in time
    ledger.close(FEBRUARY)
    found = verify(sorted(ledger.stored, key=lambda each: each.series))
    assert [head.last for head in found.heads] == ["A-000001", "KAT-000001"]
    assert found.findings == []
