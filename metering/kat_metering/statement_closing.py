"""Statements with the database: drafting, closing, adjusting, verifying."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, insert, select

from kat.usage_event import Name, new_event_id
from kat_metering.discounts import DiscountBook
from kat_metering.errors import ConflictError, FieldError, InvalidError, NotFoundError
from kat_metering.money import Money, difference, plain
from kat_metering.periods import Window
from kat_metering.prices import PriceBook, Source
from kat_metering.rollup import read_state
from kat_metering.statement_chain import Verification, verify
from kat_metering.statement_lines import Month, Unpriced
from kat_metering.statements import (
    FIRST,
    Account,
    Draft,
    Drafted,
    Statement,
    Terms,
    canonical,
    draft_statement,
    months_to_close_first,
    newly_unpriced,
    statement_name,
)
from kat_metering.store.discount_rows import load_discounts
from kat_metering.store.price_rows import load_prices, lock_prices
from kat_metering.store.statement_rows import (
    credited,
    find_statement,
    insert_statement,
    last_statement,
    lock_statements,
    pending_credits,
    series_end,
    stored_statements,
)
from kat_metering.store.statement_tables import adjustment
from kat_metering.store.tables import tenant as tenant_table
from kat_metering.store.unbilled_rows import settled_hours, unbilled_usage


class Closing(BaseModel):
    """Which statement to close."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: Name
    month: Month
    unpriced_reason: Source | None = None
    """Close although some usage has no price, and state why. That usage is billed once it has one.

    A reason holds on for what it was given for: the statements after it list that usage and state the same reason.
    """


class NewAdjustment(BaseModel):
    """Money to give back for a closed statement."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    credit: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=9, allow_inf_nan=False)]
    reason: Source


class Adjustment(BaseModel):
    """An adjustment as it was recorded. It is a line of the tenant's next statement."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    tenant: str
    corrects: str
    credit: Money
    currency: str
    reason: str
    created_at: datetime


def draft(connection: Connection, tenant: str, month: Window, *, currency: str) -> Draft:
    """What the statement would say now. Raises ConflictError for a month that is closed, NotFoundError without any usage.

    `connection`: a transaction with one snapshot. Months that are settled are not read again.
    """
    return _drafted(connection, tenant, month, currency=currency, everything=False).drafted.draft


def close(connection: Connection, closing: Closing, *, issuer: str, series: str, currency: str, now: datetime) -> str:
    """Close a month that is over. Returns the statement's document: the JSON of a `Statement`, as it is stored.

    `connection`: a transaction in READ COMMITTED; the caller commits. Raises ConflictError where the month is not
    over, is closed, is not the next one to close, is not rolled up to its end, or has usage without a price.
    """
    month = Window.month(closing.month)
    # In this order everywhere: prices and discounts stay as they are until the statement is stored.
    lock_prices(connection)
    lock_statements(connection)
    if now < month.end:
        raise ConflictError(f"{closing.month} is not over.")
    # All of the history, settled or not: what is billed for good is held against everything that was billed before.
    account, drafted, revision = _drafted(connection, closing.tenant, month, currency=currency, everything=True)
    if account.as_of < month.end:
        raise ConflictError(f"Usage is rolled up to {account.as_of:%Y-%m-%dT%H:%MZ} only; try again later.")
    if earlier := months_to_close_first(account, closing.month):
        raise ConflictError(f"Close {earlier[0]} first: it has usage that no statement has billed.")
    reason = closing.unpriced_reason or (account.last.unpriced_reason if account.last else None)
    if closing.unpriced_reason is None:
        _refuse_unpriced(newly_unpriced(drafted.draft, account.last))
    end = series_end(connection, series)
    statement = Statement(
        **dict(drafted.draft),
        issuer=issuer,
        series=series,
        number=1 if end is None else end.number + 1,
        closed_at=now.astimezone(UTC),
        unpriced_reason=reason if drafted.draft.unpriced else None,
        previous_sha256=FIRST if end is None else end.sha256,
    )
    document = canonical(statement)
    insert_statement(connection, statement, document, drafted.billed, rollup_revision=revision)
    return document


def adjust(connection: Connection, series: str, number: int, new: NewAdjustment, *, now: datetime) -> Adjustment:
    """Record a credit for a closed statement. Raises NotFoundError, and InvalidError where it exceeds what was owed."""
    lock_statements(connection)
    name = statement_name(series, number)
    row = find_statement(connection, series, number)
    if row is None:
        raise NotFoundError(f"There is no statement {name}.")
    left = difference(row.total, credited(connection, series, number))
    if new.credit > left:
        message = f"at most {plain(max(left, Decimal(0)))} {row.currency} of {name} is left to give back"
        raise InvalidError("The credit exceeds the statement.", errors=[FieldError("credit", message)])
    made = {"id": new_event_id(), "tenant": row.tenant, "created_at": now.astimezone(UTC), **new.model_dump()}
    connection.execute(insert(adjustment), {**made, "series": series, "number": number})
    return Adjustment(**made, corrects=name, currency=row.currency)


def verify_statements(connection: Connection, *, known_sha256: str | None) -> Verification:
    """Check every closed statement."""
    return verify(stored_statements(connection), known_sha256=known_sha256)


class _Drafted(NamedTuple):
    account: Account
    drafted: Drafted
    rollup_revision: int
    """Of the roll-up before its usage was read."""


def _drafted(connection: Connection, tenant: str, month: Window, *, currency: str, everything: bool) -> _Drafted:
    found = last_statement(connection, tenant)
    last = None if found is None else found.statement
    _refuse_closed(last, month)
    prices = PriceBook(load_prices(connection))
    if prices.currency not in {None, currency}:
        raise ConflictError(f"Prices are in {prices.currency}, statements in {currency}: set KAT_CURRENCY.")
    # Before the usage: what is rolled up meanwhile makes it an understatement, never an overstatement.
    state = read_state(connection)
    settled = None if everything else settled_hours(connection, tenant, found, state)
    account = Account(
        tenant=tenant,
        tenant_name=connection.scalar(select(tenant_table.c.name).where(tenant_table.c.id == tenant)) or tenant,
        last=last,
        unbilled=unbilled_usage(connection, tenant, before=month.end, settled=settled),
        credits=pending_credits(connection, tenant),
        as_of=state.as_of,
    )
    terms = Terms(prices, DiscountBook(load_discounts(connection, tenant)), currency)
    drafted = draft_statement(account, month, terms)
    if not drafted.draft.lines and not drafted.draft.unpriced:
        raise NotFoundError(f"There is nothing to state for {tenant} in {month.start:%Y-%m}.")
    return _Drafted(account, drafted, state.revision)


def _refuse_closed(last: Statement | None, month: Window) -> None:
    if last is None or last.start < month.start:
        return
    wanted = f"{month.start:%Y-%m}"
    if last.month == wanted:
        raise ConflictError(f"{wanted} is closed: see {last.name}.")
    raise ConflictError(f"{last.month} is closed already; what is left of {wanted} lands in a later statement.")


def _refuse_unpriced(unpriced: Sequence[tuple[int, Unpriced]]) -> None:
    if unpriced:
        raise ConflictError(
            "Some usage has no price. Add the prices, or close with a reason (unpriced_reason).",
            errors=[
                FieldError(
                    f"unpriced[{place}]",
                    f"{each.tokens} tokens of {each.model} / {each.segment} / mode {each.mode} in {each.month}",
                )
                for place, each in unpriced
            ],
        )
