"""The price book: shown, compared, changed. The baselines."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, select

from kat_metering.api.auth import Admin, Reader
from kat_metering.api.services import Services, WithServices
from kat_metering.baselines import Baseline
from kat_metering.errors import BadRequestError, FieldError, InvalidError
from kat_metering.price_checks import Problem, problems
from kat_metering.price_diff import PriceDifference, differences
from kat_metering.price_editing import CostImpact, Edit, edit_prices
from kat_metering.price_files import PriceFileError, parse_prices, read_document
from kat_metering.prices import Price
from kat_metering.store.engine import reading
from kat_metering.store.price_rows import load_baselines, load_prices
from kat_metering.store.price_versions import load_version
from kat_metering.store.statement_tables import price_version

router = APIRouter(tags=["prices"])

_MAX_VERSION: Final = 2**63 - 1
_YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})


class PriceList(BaseModel):
    """The price book."""

    model_config = ConfigDict(frozen=True)

    currency: str | None
    prices: list[Price]
    warnings: list[str]
    """Gaps: usage in them is reported as unpriced."""


class PriceImport(BaseModel):
    """What an import changed."""

    model_config = ConfigDict(frozen=True)

    added: int
    ended: int
    """Open prices that now end where a new one begins."""
    unchanged: int
    """Already there, identical."""
    warnings: list[str]


class PriceComparison(BaseModel):
    """What a change of the price book does, or would do."""

    model_config = ConfigDict(frozen=True)

    differences: list[PriceDifference]
    impact: list[CostImpact]
    """On cost by tenant, from the first hour touched until now; tenants whose cost stays the same are left out."""
    warnings: list[str]


class PriceVersion(BaseModel):
    """The price book as a change left it."""

    model_config = ConfigDict(frozen=True)

    number: int
    made_at: datetime
    kind: str
    """`found`: as it was before the first change that was recorded; `import` or `rerate`."""


class PriceVersions(BaseModel):
    """Every version of the price book, latest first."""

    model_config = ConfigDict(frozen=True)

    versions: list[PriceVersion]


class BaselineList(BaseModel):
    """Every baseline, with its prices and token ratios."""

    model_config = ConfigDict(frozen=True)

    baselines: list[Baseline]


@router.get("/v1/prices")
def prices(_: Reader, services: WithServices) -> PriceList:
    """The price book, past and future prices included."""
    with reading(services.engine, None) as connection:
        book = load_prices(connection)
    return PriceList(
        currency=book[0].currency if book else None,
        prices=book,
        warnings=[problem.message for problem in problems(book)],
    )


@router.get("/v1/baselines")
def baselines(_: Reader, services: WithServices) -> BaselineList:
    """The baselines that savings can be measured against."""
    with reading(services.engine, None) as connection:
        return BaselineList(baselines=load_baselines(connection))


@router.get("/v1/prices/versions")
def versions(_: Reader, services: WithServices) -> PriceVersions:
    """Versions of the price book, latest first."""
    columns = (price_version.c.number, price_version.c.made_at, price_version.c.kind)
    with reading(services.engine, None) as connection:
        rows = connection.execute(select(*columns).order_by(price_version.c.number.desc())).mappings()
        return PriceVersions(versions=[PriceVersion.model_validate(dict(row)) for row in rows])


@router.get("/v1/prices/diff")
def diff_versions(
    _: Reader,
    services: WithServices,
    before: Annotated[int, Query(alias="from", ge=1, le=_MAX_VERSION)],
    after: Annotated[int | None, Query(alias="to", ge=1, le=_MAX_VERSION, description="default: the book now")] = None,
) -> PriceComparison:
    """What changed from one version of the price book to another."""
    with reading(services.engine, None) as connection:
        old = _version(connection, before, "from")
        new = load_prices(connection) if after is None else _version(connection, after, "to")
    return PriceComparison(differences=differences(old, new), impact=[], warnings=[])


@router.post("/v1/prices")
async def import_prices(_: Admin, request: Request, services: WithServices) -> PriceImport:
    """Add prices: a list, or an object with `prices`, as JSON or (`Content-Type: application/yaml`) YAML.

    An open price ends where a new one for the same model, segment and mode begins. All or nothing.
    """
    incoming = await _incoming(request, services)
    edit = await run_in_threadpool(_edit, services, incoming, rerate=False, apply=True)
    added = sum(each not in edit.before for each in incoming)
    return PriceImport(
        added=added,
        ended=sum(each.change == "changed" for each in edit.differences),
        unchanged=len(incoming) - added,
        warnings=edit.warnings,
    )


@router.post("/v1/prices/diff")
async def diff_prices(_: Admin, request: Request, services: WithServices, *, rerate: bool = False) -> PriceComparison:
    """What importing prices, or re-rating with them, would change. Changes nothing. The body is that of an import."""
    incoming = await _incoming(request, services)
    return _comparison(await run_in_threadpool(_edit, services, incoming, rerate=rerate, apply=False))


@router.post("/v1/prices/rerate")
async def rerate_prices(_: Admin, request: Request, services: WithServices) -> PriceComparison:
    """Put prices in the place of those in force, past hours included, except in closed months. All or nothing."""
    incoming = await _incoming(request, services)
    return _comparison(await run_in_threadpool(_edit, services, incoming, rerate=True, apply=True))


def _comparison(edit: Edit) -> PriceComparison:
    return PriceComparison(differences=edit.differences, impact=edit.impact, warnings=edit.warnings)


def _version(connection: Connection, number: int, field: str) -> list[Price]:
    book = load_version(connection, number)
    if book is None:
        raise InvalidError(f"There is no version {number}.", errors=[FieldError(field, "see /v1/prices/versions")])
    return book


async def _incoming(request: Request, services: Services) -> list[Price]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    document = _document(await request.body(), is_json=media_type not in _YAML_TYPES)
    return await run_in_threadpool(_parsed, document, services.settings.currency)


def _document(body: bytes, *, is_json: bool) -> object:
    try:
        return read_document(body.decode(), is_json=is_json)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"The body cannot be read: {error}") from error


def _parsed(document: object, currency: str) -> list[Price]:
    try:
        incoming = parse_prices(document)
        _check_currency(incoming, currency)
    except PriceFileError as error:
        raise _refusal(error) from error
    return incoming


def _edit(services: Services, incoming: list[Price], *, rerate: bool, apply: bool) -> Edit:
    now = services.clock()
    try:
        if not apply:
            with reading(services.engine, None) as connection:
                return edit_prices(connection, incoming, rerate=rerate, apply=False, now=now)
        with services.engine.begin() as connection:
            return edit_prices(connection, incoming, rerate=rerate, apply=True, now=now)
    except PriceFileError as error:
        raise _refusal(error) from error


def _refusal(error: PriceFileError) -> InvalidError:
    return InvalidError(
        "The prices cannot be used; nothing was changed.",
        errors=[FieldError(f"prices[{each.index}].{each.field}", each.message) for each in error.problems],
    )


def _check_currency(incoming: list[Price], currency: str) -> None:
    found = [
        Problem(index, "currency", f"this installation counts in {currency}")
        for index, price in enumerate(incoming)
        if price.currency != currency
    ]
    if found:
        raise PriceFileError(found)
