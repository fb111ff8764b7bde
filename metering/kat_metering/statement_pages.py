"""Statements for people: one page of HTML that prints well and needs nothing from elsewhere."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from kat_metering.money import exact_sum, payable, plain
from kat_metering.statement_lines import Carried, Credit, Rounding, UsageCharge
from kat_metering.statements import Draft, Statement

_SECTIONS: Final = (
    ("usage", "Usage"),
    ("late_usage", "Late usage of months that were closed before it was known"),
)


def statement_page(statement: Draft, *, sha256: str | None = None) -> str:
    """The page of a closed statement with its hash, or of a draft, which says that it is one."""
    charges = [line for line in statement.lines if isinstance(line, UsageCharge)]
    return _environment().get_template("statement.html").render(
        statement=statement,
        closed=statement if isinstance(statement, Statement) else None,
        sha256=sha256,
        sections=[
            (title, lines, exact_sum(line.amount for line in lines))
            for kind, title in _SECTIONS
            if (lines := [line for line in charges if line.kind == kind])
        ],
        credits=[line for line in statement.lines if isinstance(line, Credit)],
        carried=[line for line in statement.lines if isinstance(line, Carried)],
        rounding=[line for line in statement.lines if isinstance(line, Rounding)],
        total=format(payable(statement.total, statement.currency), ",f"),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("kat_metering"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    environment.filters["count"] = lambda tokens: f"{tokens:,}"
    environment.filters["percent"] = lambda percent: f"{plain(Decimal(percent))} %" if percent else ""
    return environment
