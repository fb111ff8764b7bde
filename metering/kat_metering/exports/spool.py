"""Writes an export to a temporary file first.

Memory stays constant; a connection is held only as long as Postgres takes, not as long as the slowest reader; and an
export that fails half-way becomes an error, never a shorter file that looks complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from tempfile import TemporaryFile
from typing import IO

_PIECE_BYTES = 64 * 1024


def spool(pieces: Iterable[bytes]) -> tuple[IO[bytes], int]:
    """An unnamed temporary file with the pieces, at its start, and its size in bytes. The caller closes it."""
    file = TemporaryFile()  # noqa: SIM115 - handed to the caller
    try:
        file.writelines(pieces)
        size = file.tell()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file, size


def pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    """The file, piece by piece."""
    while piece := file.read(_PIECE_BYTES):
        yield piece
