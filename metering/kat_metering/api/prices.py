"""GET and POST /v1/prices, GET /v1/baselines."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict

from kat_metering.api.auth import Admin, Reader
from kat_metering.api.services import Services, WithServices
from kat_metering.baselines import Baseline
from kat_metering.errors import BadRequestError, FieldError, InvalidError
from kat_metering.price_changes import PriceChange, price_change
from kat_metering.price_checks import Problem, problems
from kat_metering.price_files import PriceFileError, parse_prices, read_document
from kat_metering.prices import Price
from kat_metering.store.engine import reading
from kat_metering.store.price_rows import end_price, insert_prices, load_baselines, load_prices, lock_prices

router = APIRouter(tags=["prices"])

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


@router.post("/v1/prices")
async def import_prices(_: Admin, request: Request, services: WithServices) -> PriceImport:
    """Add prices: a list, or an object with `prices`, as JSON or (`Content-Type: application/yaml`) YAML.

    An open price ends where a new one for the same model, segment and mode begins. All or nothing.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    document = _document(await request.body(), is_json=media_type not in _YAML_TYPES)
    change = await run_in_threadpool(_import, services, document)
    return PriceImport(
        added=len(change.added), ended=len(change.ended), unchanged=change.unchanged, warnings=change.warnings
    )


def _document(body: bytes, *, is_json: bool) -> object:
    try:
        return read_document(body.decode(), is_json=is_json)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"The body cannot be read: {error}") from error


def _import(services: Services, document: object) -> PriceChange:
    try:
        incoming = parse_prices(document)
        _check_currency(incoming, services.settings.currency)
        with services.engine.begin() as connection:
            lock_prices(connection)
            change = price_change(load_prices(connection), incoming, now=services.clock())
            for ended in change.ended:
                end_price(connection, ended)
            insert_prices(connection, change.added)
    except PriceFileError as error:
        raise InvalidError(
            "The prices cannot be used; nothing was changed.",
            errors=[FieldError(f"prices[{each.index}].{each.field}", each.message) for each in error.problems],
        ) from error
    return change


def _check_currency(incoming: list[Price], currency: str) -> None:
    found = [
        Problem(index, "currency", f"this installation counts in {currency}")
        for index, price in enumerate(incoming)
        if price.currency != currency
    ]
    if found:
        raise PriceFileError(found)
