"""How a usage event stands in a segment of the outbox: a line of checksum, time and JSON.

    3f1c9a02 1764018000.123456 {"id":"019ab4c2-...",...}

The checksum (CRC-32, as of zlib) covers what follows it. JSON on one line holds neither a line break nor a zero byte.
So what no line break ends was cut short while it was written, and a run of zeros is a page that a machine which lost
its power had not written yet: file systems may let a file grow before its bytes are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from kat_predictor.errors import OutboxDamaged

UNWRITTEN: Final = bytes(16)
"""Zeros that no fault of a single byte makes."""


@dataclass(frozen=True, slots=True)
class Record:
    """A usage event as one line of JSON, and the Unix time in seconds at which it was put."""

    stored_at: float
    body: bytes


def encode(record: Record) -> bytes:
    """The record's line."""
    content = b"%.6f %b" % (record.stored_at, record.body)
    return b"%08x %b\n" % (crc32(content), content)


def decode(lines: bytes) -> Iterator[Record]:
    """The records of whole lines, without those that were never written.

    Raises:
        OutboxDamaged: A line is not what was written.
    """
    for line in lines.split(b"\n")[:-1]:
        if UNWRITTEN in line:
            continue
        content = line[9:]
        if b"%08x" % crc32(content) != line[:8]:
            raise OutboxDamaged(f"a record's checksum is {line[:8].decode(errors='replace')}, not that of its content")
        stored_at, _, body = content.partition(b" ")
        yield Record(float(stored_at), body)


def whole_lines(content: bytes) -> int:
    """Bytes of `content` up to its last line break; what follows was cut short."""
    return content.rfind(b"\n") + 1
