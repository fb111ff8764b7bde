"""Statements over HTTP. Tenants see their own; administrators see all, close and adjust."""

from __future__ import annotations

import base64
import re
from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Engine, Row

from kat.usage_event import Name
from kat_metering import statement_closing
from kat_metering.api.auth import Admin, Reader
from kat_metering.api.document import CONFLICT, MISSING
from kat_metering.api.pages import AFTER, DEFAULT_LIMIT, Limit, cut
from kat_metering.api.services import WithServices
from kat_metering.errors import FieldError, InvalidError, NotFoundError
from kat_metering.money import Money
from kat_metering.periods import Window
from kat_metering.statement_chain import Verification
from kat_metering.statement_closing import Adjustment, Closing, NewAdjustment
from kat_metering.statement_lines import Month
from kat_metering.statement_pages import statement_page
from kat_metering.statements import Draft, Statement, sha256_of, statement_name
from kat_metering.store import statement_rows
from kat_metering.store.engine import reading

router = APIRouter(tags=["statements"])

_NAME: Final = re.compile(r"(.{1,64})-(\d{1,18})")

# Nothing of the page may run, and nothing may be loaded: names of tenants and reasons are other people's text.
_PAGE_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

_PAGE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}

StatementName = Annotated[str, Path(description="such as KAT-000001", max_length=90)]


class StatementFormat(StrEnum):
    """For machines, or for people."""

    JSON = "json"
    HTML = "html"


class StatementSummary(BaseModel):
    """A closed statement in a list."""

    model_config = ConfigDict(frozen=True)

    name: str
    tenant: str
    month: Month
    currency: str
    total: Money
    closed_at: datetime
    sha256: str


class StatementList(BaseModel):
    """A page of closed statements, by name."""

    model_config = ConfigDict(frozen=True)

    statements: list[StatementSummary]
    next: str | None
    """Ask with `after` set to this for what follows; null at the end."""


class DueTenants(BaseModel):
    """A page of tenants that have something to state, and no statement yet."""

    model_config = ConfigDict(frozen=True)

    tenants: list[str]
    next: str | None
    """Ask with `after` set to this for what follows; null at the end."""


@router.get("/v1/statements")
def list_statements(
    identity: Reader,
    services: WithServices,
    tenant: Annotated[Name | None, Query(description="default: all that the caller may see")] = None,
    after: Annotated[str | None, AFTER] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> StatementList:
    """Closed statements, by name."""
    whose = identity.sees(tenant)
    place = None if after is None else _key(after, field="after")
    with reading(services.engine, identity.tenant) as connection:
        rows = connection.execute(statement_rows.statement_page(whose, place, limit + 1)).all()
    page, following = cut(rows, limit, lambda row: statement_name(row.series, row.number))
    return StatementList(statements=[_summary(row) for row in page], next=following)


@router.post("/v1/statements", status_code=201, response_model=Statement, responses={**CONFLICT, **MISSING})
def close(_: Admin, services: WithServices, closing: Closing) -> Response:
    """Close a tenant's month: number it, chain it to the statement before, never change it again."""
    settings = services.settings
    with _writing(services.engine) as connection:
        document = statement_closing.close(
            connection,
            closing,
            issuer=settings.provider_name,
            series=settings.statement_series,
            currency=settings.currency,
            now=services.clock(),
        )
    return _document(document, status=201)


@router.get("/v1/statements/draft", response_model=Draft, responses={**_PAGE, **CONFLICT, **MISSING})
def draft(
    identity: Reader,
    services: WithServices,
    month: Annotated[Month | None, Query(description="YYYY-MM, in UTC; default: this month")] = None,
    tenant: Annotated[Name | None, Query(description="needed by administrators; a tenant's key sees its own")] = None,
    format: StatementFormat = StatementFormat.JSON,  # noqa: A002 - the parameter's public name
) -> Draft | Response:
    """What the statement of an open month would say now: all usage until its end that no statement has billed."""
    whose = identity.sees(tenant)
    if whose is None:
        raise InvalidError("Say whose statement to draft.", errors=[FieldError("tenant", "is needed")])
    window = Window.month(month or f"{services.clock():%Y-%m}")
    with reading(services.engine, identity.tenant) as connection:
        found = statement_closing.draft(connection, whose, window, currency=services.settings.currency)
    return _html(statement_page(found)) if format is StatementFormat.HTML else found


@router.get("/v1/statements/due")
def due(
    _: Admin,
    services: WithServices,
    month: Annotated[Month, Query(description="YYYY-MM, in UTC")],
    *,
    after: Annotated[Name | None, AFTER] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> DueTenants:
    """Tenants that used something until the end of the month, or got an adjustment, and have no statement of it."""
    window = Window.month(month)
    with reading(services.engine, None) as connection:
        found = statement_rows.tenants_due(
            connection, before=window.end, month=window.start.date(), after=after, limit=limit + 1
        )
    page, following = cut(found, limit, str)
    return DueTenants(tenants=list(page), next=following)


@router.get("/v1/statements/verification")
def verification(
    _: Admin,
    services: WithServices,
    sha256: Annotated[
        str | None, Query(pattern="^[0-9a-f]{64}$", description="a hash noted down before, which must still occur")
    ] = None,
) -> Verification:
    """Check every closed statement: hashes, numbers, sums, and what was recorded as billed."""
    with reading(services.engine, None) as connection:
        return statement_closing.verify_statements(connection, known_sha256=sha256)


@router.get("/v1/statements/{name}", response_model=Statement, responses=_PAGE)
def show(
    identity: Reader,
    services: WithServices,
    name: StatementName,
    format: StatementFormat = StatementFormat.JSON,  # noqa: A002 - the parameter's public name
) -> Response:
    """A closed statement. As JSON it is the document itself, to the byte: its SHA-256 is the `ETag`."""
    series, number = _key(name, field="name")
    with reading(services.engine, identity.tenant) as connection:
        row = statement_rows.find_statement(connection, series, number)
    if row is None:
        raise NotFoundError(f"There is no statement {name}.")
    if format is StatementFormat.HTML:
        return _html(statement_page(Statement.model_validate_json(row.document), sha256=row.sha256))
    return _document(row.document)


@router.post("/v1/statements/{name}/adjustments", status_code=201, responses=CONFLICT)
def adjust(_: Admin, services: WithServices, name: StatementName, new: NewAdjustment) -> Adjustment:
    """Give money back for a closed statement. The credit is a line of the tenant's next statement."""
    series, number = _key(name, field="name")
    with _writing(services.engine) as connection:
        return statement_closing.adjust(connection, series, number, new, now=services.clock())


def _writing(engine: Engine) -> AbstractContextManager[Connection]:
    # Whoever had to wait for a lock must see what the other committed, whatever the server's default isolation is.
    return engine.execution_options(isolation_level="READ COMMITTED").begin()


def _key(name: str, *, field: str) -> tuple[str, int]:
    match = _NAME.fullmatch(name)
    # A series in Postgres holds no NUL, so nothing by that name is there.
    if match is None or "\x00" in name or statement_name(match[1], int(match[2])) != name:
        raise InvalidError(
            f"{field} is no statement's name.", errors=[FieldError(field, "expected such as KAT-000001")]
        )
    return match[1], int(match[2])


def _summary(row: Row[Any]) -> StatementSummary:
    return StatementSummary(
        name=statement_name(row.series, row.number),
        tenant=row.tenant,
        month=f"{row.month:%Y-%m}",
        currency=row.currency,
        total=row.total,
        closed_at=row.closed_at,
        sha256=row.sha256,
    )


def _document(document: str, *, status: int = 200) -> Response:
    sha256 = sha256_of(document)
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    headers = {"ETag": f'"{sha256}"', "Repr-Digest": f"sha-256=:{digest}:"}
    return Response(document, status, media_type="application/json", headers=headers)


def _html(html: str) -> Response:
    return Response(html, media_type="text/html; charset=utf-8", headers=_PAGE_HEADERS)
