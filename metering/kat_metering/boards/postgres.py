"""What metering's database tells. Only read, in one snapshot, so that the numbers of a page agree with each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final, Self

import psycopg.errors
from sqlalchemy import Connection
from sqlalchemy.exc import ArgumentError, DBAPIError

from kat_metering.errors import ReportSourceError
from kat_metering.main import open_store
from kat_metering.settings import StoreSettings
from kat_metering.store.engine import reading

_SOMETHING_ELSE: Final = "it is no database of metering, or one that `kat metering migrate` has not brought up to date"


class Denied(ReportSourceError):
    """The database's user may not read what was asked for; the message is the server's."""


@dataclass(frozen=True, slots=True)
class Rows:
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


class Postgres:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def open(cls, settings: StoreSettings) -> Iterator[Self]:
        """Connect. What the server refuses becomes a ReportSourceError, here and in what is done with it; none names a secret."""
        with ExitStack() as opened:
            try:
                engine = opened.enter_context(open_store(settings, join=True))
            except (ArgumentError, ValueError):
                # Their messages repeat what they were given, password and all.
                raise ReportSourceError("metering's database: not a URL of PostgreSQL") from None
            try:
                yield cls(opened.enter_context(reading(engine, None)))
            except DBAPIError as error:
                if isinstance(error.orig, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
                    raise ReportSourceError(f"{_first_line(error)}: {_SOMETHING_ELSE}") from None
                raise ReportSourceError(f"metering's database: {_first_line(error)}") from None

    def ask(self, query: str) -> Rows:
        """The answer to a query. Raises Denied where the user may not read it; the snapshot outlives that."""
        try:
            with self._connection.begin_nested():
                # Percent signs are the driver's, and no parameters of ours.
                result = self._connection.exec_driver_sql(query.replace("%", "%%"))
                return Rows(tuple(result.keys()), tuple(tuple(row) for row in result))
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
                raise Denied(_first_line(error)) from error
            raise


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]
