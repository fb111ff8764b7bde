"""An export in each format, as the pieces of its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from kat_metering.comparison import Comparison, CurrencyMismatchError
from kat_metering.errors import ConflictError
from kat_metering.exports import csv, jsonl, parquet
from kat_metering.exports.focus import Charges, Savings, focus_text
from kat_metering.exports.focus_billing import invoice_of, percent_off
from kat_metering.exports.focus_columns import FOCUS_COLUMNS
from kat_metering.exports.focus_rows import focus_rows, tenant_names
from kat_metering.exports.formats import ExportFormat
from kat_metering.exports.rows import export_rows
from kat_metering.periods import Window
from kat_metering.prices import PriceBook
from kat_metering.store.archived import refuse_archived
from kat_metering.store.price_rows import load_prices
from kat_metering.store.shadow_rows import load_samples
from kat_metering.token_ratios import RatioBook
from kat_metering.valuation import BOOTSTRAP_SEED, BaselineChoice, find_baseline

MEDIA_TYPES: Final = {
    ExportFormat.CSV: csv.MEDIA_TYPE,
    ExportFormat.JSONL: jsonl.MEDIA_TYPE,
    ExportFormat.PARQUET: parquet.MEDIA_TYPE,
    ExportFormat.FOCUS_CSV: csv.MEDIA_TYPE,
    ExportFormat.FOCUS_PARQUET: parquet.MEDIA_TYPE,
}

_Rows = Iterator[dict[str, Any]]
_WRITERS: Final[dict[ExportFormat, Callable[[_Rows], Iterator[bytes]]]] = {
    ExportFormat.CSV: csv.csv_lines,
    ExportFormat.JSONL: jsonl.json_lines,
    ExportFormat.PARQUET: parquet.parquet_pieces,
    ExportFormat.FOCUS_CSV: lambda rows: csv.csv_lines(rows, FOCUS_COLUMNS, focus_text),
    ExportFormat.FOCUS_PARQUET: lambda rows: parquet.parquet_pieces(rows, FOCUS_COLUMNS),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to export. `tenant` None, every tenant, is for the FOCUS formats alone, as is `choice`."""

    tenant: str | None
    month: Window
    form: ExportFormat
    choice: BaselineChoice | None
    """What the savings columns compare with; None leaves them empty."""
    currency: str
    """Of charges where there is no price at all."""
    provider: str


def export_pieces(connection: Connection, wanted: Wanted) -> Iterator[bytes]:
    """Raises InvalidError for an unknown baseline; ConflictError for one in another currency, and for archived events."""
    prices = PriceBook(load_prices(connection))
    if wanted.form.is_focus:
        rows = focus_rows(connection, wanted.tenant, _charges(connection, wanted, prices))
    elif wanted.tenant is None:
        raise ValueError("requests are exported tenant by tenant")
    else:
        refuse_archived(connection, wanted.month, f"The format {wanted.form}, unlike the FOCUS ones,")
        rows = export_rows(connection, wanted.tenant, wanted.month, prices)
    return _WRITERS[wanted.form](rows)


def _charges(connection: Connection, wanted: Wanted, prices: PriceBook) -> Charges:
    return Charges(
        month=wanted.month,
        prices=prices,
        currency=prices.currency or wanted.currency,
        provider=wanted.provider,
        tenants=tenant_names(connection),
        invoice_of=invoice_of(connection, wanted.month),
        percent_off=percent_off(connection, wanted.tenant),
        savings=None if wanted.choice is None else _savings(connection, wanted.choice, wanted.month, prices),
    )


def _savings(connection: Connection, choice: BaselineChoice, month: Window, prices: PriceBook) -> Savings:
    baseline = find_baseline(connection, choice.name)
    samples = load_samples(connection, baseline.name, before=month.end)
    ratios = RatioBook(baseline, samples, seed=BOOTSTRAP_SEED)
    try:
        return Savings(baseline.name, choice.method, Comparison(prices, baseline, choice.method, ratios))
    except CurrencyMismatchError as error:
        raise ConflictError(f"{error}; without a comparison: baseline=none.") from error
