"""A record comes back as it was written, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_predictor.errors import OutboxDamaged
from kat_predictor.outbox_record import Record, decode, encode, whole_lines

_BODIES = st.binary().map(lambda body: body.replace(b"\n", b" ").replace(b"\0", b" "))
_TIMES = st.integers(0, 4_000_000_000_000_000).map(lambda microseconds: microseconds / 1_000_000)
_RECORDS = st.builds(Record, _TIMES, _BODIES)


@given(st.lists(_RECORDS))
def test_records_come_back_in_their_order(records: list[Record]) -> None:
    found = list(decode(b"".join(map(encode, records))))
    assert [record.body for record in found] == [record.body for record in records]
    assert [record.stored_at for record in found] == pytest.approx([record.stored_at for record in records])


@given(_RECORDS, st.data())
def test_a_changed_byte_is_noticed(record: Record, data: st.DataObject) -> None:
    line = bytearray(encode(record))
    at = data.draw(st.integers(0, len(line) - 2).filter(lambda at: at != 8))  # 8 is the space after the checksum
    line[at] ^= data.draw(st.integers(1, 255).filter(lambda change: line[at] ^ change != ord("\n")))
    with pytest.raises(OutboxDamaged):
        list(decode(bytes(line)))


@given(st.lists(_RECORDS), st.lists(_RECORDS), st.integers(16, 9_000))
def test_a_page_that_was_never_written_hides_the_record_after_it_alone(
    before: list[Record], after: list[Record], zeros: int
) -> None:
    lines = b"".join(map(encode, before)) + bytes(zeros) + b'cords end"}\n' + b"".join(map(encode, after))
    assert [record.body for record in decode(lines)] == [record.body for record in [*before, *after]]


@given(_RECORDS, _RECORDS, st.data())
def test_what_was_cut_short_is_told_from_whole_lines(first: Record, second: Record, data: st.DataObject) -> None:
    line = encode(second)
    cut = line[: data.draw(st.integers(0, len(line) - 1))]
    assert whole_lines(encode(first) + cut) == len(encode(first))
