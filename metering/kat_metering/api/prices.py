"""The price book: shown, compared, changed. The baselines."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, select

from kat.usage_event import Name
from kat_metering.api.auth import Admin, Reader
from kat_metering.api.pages import AFTER, DEFAULT_LIMIT, Limit, Number, cut
from kat_metering.api.price_body import PRICES_BODY, YAML_TYPES
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

_PARTS: Final = 4
_MAX_VERSION: Final = 2**63 - 1


class PriceList(BaseModel):
    """A page of the price book, by model, segment, mode and time."""

    model_config = ConfigDict(frozen=True)

    currency: str | None
    prices: list[Price]
    warnings: list[str]
    """Gaps anywhere in the book: usage in them is reported as unpriced."""
    next: str | None
    """Ask with `after` set to this for what follows; null at the end."""


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
    """A page of the versions of the price book, latest first."""

    model_config = ConfigDict(frozen=True)

    versions: list[PriceVersion]
    next: int | None
    """Ask with `after` set to this for what follows; null at the end."""


class BaselineList(BaseModel):
    """A page of baselines, by name, with their prices and token ratios."""

    model_config = ConfigDict(frozen=True)

    baselines: list[Baseline]
    next: str | None
    """Ask with `after` set to this for what follows; null at the end."""


@router.get("/v1/prices")
def prices(
    _: Reader, services: WithServices, *, after: Annotated[Name | None, AFTER] = None, limit: Limit = DEFAULT_LIMIT
) -> PriceList:
    """The price book, past and future prices included."""
    with reading(services.engine, None) as connection:
        book = load_prices(connection)
    # Its warnings need the whole book anyway; the order is that of the cursors, whatever the database's is.
    place = None if after is None else _place(after)
    entries = sorted((each for each in book if place is None or _key(each) > place), key=_key)
    page, following = cut(entries, limit, lambda price: "/".join(_key(price)))
    return PriceList(
        currency=book[0].currency if book else None,
        prices=list(page),
        warnings=[problem.message for problem in problems(book)],
        next=following,
    )


@router.get("/v1/baselines")
def baselines(
    _: Reader, services: WithServices, *, after: Annotated[Name | None, AFTER] = None, limit: Limit = DEFAULT_LIMIT
) -> BaselineList:
    """The baselines that savings can be measured against."""
    with reading(services.engine, None) as connection:
        known = load_baselines(connection)
    # A handful, each with rows of other tables.
    entries = sorted((each for each in known if after is None or each.name > after), key=lambda each: each.name)
    page, following = cut(entries, limit, lambda each: each.name)
    return BaselineList(baselines=list(page), next=following)


@router.get("/v1/prices/versions")
def versions(
    _: Reader, services: WithServices, *, before: Annotated[Number | None, AFTER] = None, limit: Limit = DEFAULT_LIMIT
) -> PriceVersions:
    """Versions of the price book, latest first."""
    columns = (price_version.c.number, price_version.c.made_at, price_version.c.kind)
    query = select(*columns).order_by(price_version.c.number.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(price_version.c.number < before)
    with reading(services.engine, None) as connection:
        rows = connection.execute(query).mappings().all()
    page, following = cut(rows, limit, lambda row: int(row["number"]))
    return PriceVersions(versions=[PriceVersion.model_validate(dict(row)) for row in page], next=following)


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


@router.post("/v1/prices", openapi_extra=PRICES_BODY)
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


@router.post("/v1/prices/diff", openapi_extra=PRICES_BODY)
async def diff_prices(_: Admin, request: Request, services: WithServices, *, rerate: bool = False) -> PriceComparison:
    """What importing prices, or re-rating with them, would change. Changes nothing. The body is that of an import."""
    incoming = await _incoming(request, services)
    return _comparison(await run_in_threadpool(_edit, services, incoming, rerate=rerate, apply=False))


@router.post("/v1/prices/rerate", openapi_extra=PRICES_BODY)
async def rerate_prices(_: Admin, request: Request, services: WithServices) -> PriceComparison:
    """Put prices in the place of those in force, past hours included, except in closed months. All or nothing."""
    incoming = await _incoming(request, services)
    return _comparison(await run_in_threadpool(_edit, services, incoming, rerate=True, apply=True))


def _key(price: Price) -> tuple[str, str, str, str]:
    # In UTC, so that the order of the texts is that of the times.
    return price.model, price.segment.value, price.mode.value, price.effective_from.isoformat()


def _place(after: str) -> tuple[str, ...]:
    place = tuple(after.rsplit("/", maxsplit=3))
    if len(place) != _PARTS:
        raise InvalidError("after is no place in the price book.", errors=[FieldError("after", "expected a `next`")])
    return place


def _comparison(edit: Edit) -> PriceComparison:
    return PriceComparison(differences=edit.differences, impact=edit.impact, warnings=edit.warnings)


def _version(connection: Connection, number: int, field: str) -> list[Price]:
    book = load_version(connection, number)
    if book is None:
        raise InvalidError(f"There is no version {number}.", errors=[FieldError(field, "see /v1/prices/versions")])
    return book


async def _incoming(request: Request, services: Services) -> list[Price]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    document = _document(await request.body(), is_json=media_type not in YAML_TYPES)
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
