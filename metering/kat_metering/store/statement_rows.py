"""Statements, what they billed, and adjustments in the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CTE, Connection, Row, Select, exists, func, insert, literal_column, select, text, union_all

from kat.usage_event import Segment
from kat_metering.prices import UsageLine
from kat_metering.statement_chain import BilledKey, StoredStatement
from kat_metering.statement_lines import Credit
from kat_metering.statements import Statement, sha256_of, statement_name
from kat_metering.store.statement_tables import adjustment, statement, statement_adjustment, statement_usage
from kat_metering.store.tables import usage_daily

_STATEMENT_LOCK: Final = 0x6B61_7411
_STATEMENTS_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class LastStatement:
    """The statement of a tenant's last closed month."""

    statement: Statement
    rollup_revision: int | None
    """What the roll-up added until this revision was read for it; None where that was not kept yet."""


def lock_statements(connection: Connection) -> None:
    """Wait for others that close or adjust; until the end of the transaction they wait for this one."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _STATEMENT_LOCK})


def last_statement(connection: Connection, tenant: str) -> LastStatement | None:
    """The tenant's statement of the latest month."""
    row = connection.execute(
        select(statement.c.document, statement.c.rollup_revision)
        .where(statement.c.tenant == tenant)
        .order_by(statement.c.month.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else LastStatement(Statement.model_validate_json(row.document), row.rollup_revision)


def pending_credits(connection: Connection, tenant: str) -> list[Credit]:
    """Adjustments that no statement has as a line yet."""
    taken = exists().where(statement_adjustment.c.adjustment == adjustment.c.id)
    rows = connection.execute(select(adjustment).where(adjustment.c.tenant == tenant, ~taken))
    return [
        Credit(
            adjustment=row.id, corrects=statement_name(row.series, row.number), reason=row.reason, amount=-row.credit
        )
        for row in rows
    ]


def series_end(connection: Connection, series: str) -> Row[Any, Any] | None:
    """Number and hash of the last statement of a series."""
    return connection.execute(
        select(statement.c.number, statement.c.sha256)
        .where(statement.c.series == series)
        .order_by(statement.c.number.desc())
        .limit(1)
    ).one_or_none()


def insert_statement(
    connection: Connection, closed: Statement, document: str, billed: Sequence[UsageLine], *, rollup_revision: int
) -> None:
    """Store a closed statement, the usage it billed, and the adjustments it has as lines.

    `rollup_revision`: of the roll-up before the usage was read.
    """
    key = {"series": closed.series, "number": closed.number, "tenant": closed.tenant}
    connection.execute(
        insert(statement),
        {
            **key,
            "month": closed.start.date(),
            "currency": closed.currency,
            "total": closed.total,
            "closed_at": closed.closed_at,
            "previous_sha256": closed.previous_sha256,
            "sha256": sha256_of(document),
            "document": document,
            "rollup_revision": rollup_revision,
        },
    )
    if billed:
        connection.execute(
            insert(statement_usage),
            [
                {
                    **key,
                    "hour": line.hour,
                    "model": line.model,
                    "mode": line.mode.value,
                    **{segment.value: line.tokens.get(segment, 0) for segment in Segment},
                }
                for line in billed
            ],
        )
    credited_here = [line.adjustment for line in closed.lines if isinstance(line, Credit)]
    if credited_here:
        connection.execute(insert(statement_adjustment), [{**key, "adjustment": each} for each in credited_here])


def find_statement(connection: Connection, series: str, number: int) -> Row[Any] | None:
    """The row of a statement, as far as `connection` may see it."""
    return connection.execute(
        select(statement).where(statement.c.series == series, statement.c.number == number)
    ).one_or_none()


def statement_page(tenant: str | None, after: tuple[str, int] | None, limit: int) -> Select[Any]:
    """Statements by series and number, those after a given one."""
    page = select(statement).order_by(statement.c.series, statement.c.number).limit(limit)
    if tenant is not None:
        page = page.where(statement.c.tenant == tenant)
    if after is not None:
        series, number = after
        page = page.where(
            (statement.c.series > series) | ((statement.c.series == series) & (statement.c.number > number))
        )
    return page


def credited(connection: Connection, series: str, number: int) -> Decimal:
    """What adjustments give back of a statement, taken together."""
    found = connection.scalar(
        select(func.sum(adjustment.c.credit)).where(adjustment.c.series == series, adjustment.c.number == number)
    )
    return found or Decimal(0)


def closed_months(connection: Connection) -> list[date]:
    """The first days of the months of which any tenant's statement is closed."""
    return list(connection.execute(select(statement.c.month).distinct().order_by(statement.c.month)).scalars())


def tenants_due(
    connection: Connection, *, before: datetime, month: date, limit: int, after: str | None = None
) -> list[str]:
    """Tenants without a statement of the month or a later one that used anything, or have an adjustment, before it ends.

    By name, those after a given one. `before` is the start of a day. What is read grows with the tenants, not with
    their history.
    """
    stated = select(statement.c.tenant).where(statement.c.month >= month)
    known = _tenants_with_usage(after)
    used = exists().where(usage_daily.c.tenant == known.c.tenant, usage_daily.c.day < before)
    owed = union_all(
        select(known.c.tenant).where(used),
        select(adjustment.c.tenant).where(adjustment.c.id.not_in(select(statement_adjustment.c.adjustment))),
    ).subquery()
    query = select(owed.c.tenant).distinct().where(owed.c.tenant.not_in(stated)).order_by(owed.c.tenant).limit(limit)
    if after is not None:
        query = query.where(owed.c.tenant > after)
    return list(connection.execute(query).scalars())


def _tenants_with_usage(after: str | None) -> CTE:
    # From one to the next in the index: Postgres finds distinct values only by reading every row.
    tenant = usage_daily.c.tenant
    first = select(func.min(tenant).label("tenant"))
    if after is not None:
        first = first.where(tenant > after)
    known = first.cte("known", recursive=True)
    following = select(func.min(tenant)).where(tenant > known.c.tenant).scalar_subquery()
    return known.union_all(select(following).where(known.c.tenant.is_not(None)))


def stored_statements(connection: Connection) -> Iterator[StoredStatement]:
    """Every closed statement with what was recorded beside it, by series and number; memory does not grow with them."""
    rows = connection.execute(
        select(statement)
        .order_by(statement.c.series, statement.c.number)
        .execution_options(stream_results=True, yield_per=_STATEMENTS_AT_ONCE)
    )
    for page in rows.partitions():
        billed, adjusted = _billed(connection, page), _credits(connection, page)
        for row in page:
            key = (row.series, row.number)
            yield StoredStatement(
                series=row.series,
                number=row.number,
                tenant=row.tenant,
                month=f"{row.month:%Y-%m}",
                currency=row.currency,
                total=row.total,
                previous_sha256=row.previous_sha256,
                sha256=row.sha256,
                document=row.document,
                billed=billed.get(key, {}),
                credits=adjusted.get(key, {}),
            )


def _billed(connection: Connection, page: Sequence[Row[Any]]) -> dict[tuple[str, int], dict[BilledKey, int]]:
    usage = statement_usage.c
    month = func.to_char(func.timezone("UTC", usage.hour), literal_column("'YYYY-MM'")).label("month")
    key = (usage.series, usage.number, month, usage.model, usage.mode)
    sums = [func.sum(usage[name]).label(name) for name in Segment]
    found: dict[tuple[str, int], dict[BilledKey, int]] = defaultdict(dict)
    for row in connection.execute(select(*key, *sums).where(_on(page, usage)).group_by(*key)).mappings():
        for name in Segment:
            found[row["series"], row["number"]][row["month"], row["model"], row["mode"], name.value] = int(row[name])
    return found


def _credits(
    connection: Connection, page: Sequence[Row[Any]]
) -> dict[tuple[str, int], dict[UUID, tuple[str, Decimal]]]:
    link = statement_adjustment.c
    rows = connection.execute(
        select(
            link.series, link.number, adjustment.c.id, adjustment.c.credit, adjustment.c.series.label("of_series"),
            adjustment.c.number.label("of_number"),
        )
        .join(adjustment, adjustment.c.id == link.adjustment)
        .where(_on(page, link))
    )  # fmt: skip
    found: dict[tuple[str, int], dict[UUID, tuple[str, Decimal]]] = defaultdict(dict)
    for row in rows:
        found[row.series, row.number][row.id] = (statement_name(row.of_series, row.of_number), -row.credit)
    return found


def _on(page: Sequence[Row[Any]], columns: Any) -> Any:
    # A page is a range of the key, and may reach over the end of a series.
    first, last = page[0], page[-1]
    after_first = (columns.series > first.series) | (
        (columns.series == first.series) & (columns.number >= first.number)
    )
    before_last = (columns.series < last.series) | ((columns.series == last.series) & (columns.number <= last.number))
    return after_first & before_last
