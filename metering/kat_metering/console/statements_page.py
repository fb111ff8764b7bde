"""Statements: the list, each one's page, the printable document, and whether they still are what was closed."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from kat_metering import statement_closing
from kat_metering.api import statements as statements_api
from kat_metering.api.statements import StatementFormat, StatementName
from kat_metering.console.pages import page
from kat_metering.console.tenant_choice import tenant_choice
from kat_metering.console.visitor import SignedIn, Visitor
from kat_metering.errors import NotFoundError
from kat_metering.statement_lines import UsageCharge
from kat_metering.statements import Draft, Statement, sha256_of
from kat_metering.store.engine import reading
from kat_metering.store.statement_rows import find_statement

router = APIRouter()

_PAGE: Final = 50


@router.get("/statements")
def statements(
    request: Request,
    visitor: SignedIn,
    tenant: str | None = None,
    after: Annotated[str | None, Query(max_length=90)] = None,
    *,
    verify: bool = False,
) -> Response:
    """Operators may have every statement checked, hashes, sums and what was billed; it takes a while."""
    services, identity = visitor.services, visitor.identity
    with reading(services.engine, identity.tenant) as connection:
        choice = tenant_choice(connection, visitor, tenant)
        verification = (
            statement_closing.verify_statements(connection, known_sha256=None)
            if verify and visitor.is_operator
            else None
        )
    listed = statements_api.list_statements(identity, services, tenant=choice.tenant, after=after, limit=_PAGE)
    return page(
        request,
        "statements",
        visitor=visitor,
        choice=choice,
        listed=listed.statements,
        following=listed.next,
        verification=verification,
        month=f"{services.clock():%Y-%m}",
    )


@router.get("/statements/draft")
def draft(request: Request, visitor: SignedIn, tenant: str | None = None, month: str | None = None) -> Response:
    """What the statement of this month would say now."""
    with reading(visitor.services.engine, visitor.identity.tenant) as connection:
        choice = tenant_choice(connection, visitor, tenant, required=True)
    try:
        found = statements_api.draft(visitor.identity, visitor.services, month=month or None, tenant=choice.tenant)
    except NotFoundError:
        return page(request, "nothing_to_state", visitor=visitor, choice=choice, place="statements")
    assert isinstance(found, Draft)  # noqa: S101 - a page was not asked for
    return _statement(request, visitor, found)


@router.get("/statements/{name}")
def statement(request: Request, visitor: SignedIn, name: StatementName) -> Response:
    """Another tenant's is not found: row-level security does not show it."""
    document = statements_api.show(visitor.identity, visitor.services, name).body
    found = Statement.model_validate_json(bytes(document))
    with reading(visitor.services.engine, visitor.identity.tenant) as connection:
        stored = find_statement(connection, found.series, found.number)
    return _statement(
        request,
        visitor,
        found,
        sha256=sha256_of(bytes(document).decode()),
        intact=stored is not None and stored.sha256 == sha256_of(stored.document),
    )


@router.get("/statements/{name}/document")
def document(visitor: SignedIn, name: StatementName, format: StatementFormat = StatementFormat.HTML) -> Response:  # noqa: A002 - the name that the API has for it
    """The document itself: for people to print, or for machines to keep."""
    answer = statements_api.show(visitor.identity, visitor.services, name, format)
    if format is StatementFormat.JSON:
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}.json"'
    return answer


def _statement(
    request: Request, visitor: Visitor, found: Draft, *, sha256: str | None = None, intact: bool = True
) -> Response:
    charges = [line for line in found.lines if isinstance(line, UsageCharge)]
    return page(
        request,
        "statement",
        status=HTTPStatus.OK,
        visitor=visitor,
        place="statements",
        statement=found,
        closed=found if isinstance(found, Statement) else None,
        sha256=sha256,
        intact=intact,
        charges=charges,
        others=[line for line in found.lines if not isinstance(line, UsageCharge)],
    )
