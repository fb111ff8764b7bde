"""What the outbox file promises, and what it refuses to work with."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from kat_predictor.errors import OutboxUnusable
from kat_predictor.outbox_file import OutboxFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite3"


@pytest.fixture
def file(path: Path) -> Generator[OutboxFile]:
    with closing(OutboxFile.open(path)) as file:
        yield file


def test_events_come_out_in_the_order_in_which_they_went_in(file: OutboxFile) -> None:
    file.write([(1.0, b"a"), (2.0, b"b")])
    file.write([(0.5, b"c")])
    assert [body for _, body in file.oldest(10)] == [b"a", b"b", b"c"]


def test_no_more_events_come_out_than_were_asked_for(file: OutboxFile) -> None:
    file.write([(1.0, b"a"), (2.0, b"b")])
    assert [body for _, body in file.oldest(1)] == [b"a"]


def test_acknowledged_events_are_gone_and_later_ones_stay(file: OutboxFile) -> None:
    file.write([(1.0, b"a"), (2.0, b"b")])
    (last, _) = file.oldest(2)[-1]
    file.write([(3.0, b"c")])
    file.write([], delete_up_to=last)
    assert ([body for _, body in file.oldest(10)], file.count) == ([b"c"], 1)


def test_the_oldest_event_says_since_when_it_waits(file: OutboxFile) -> None:
    assert file.oldest_stored_at() is None
    file.write([(1.5, b"a"), (2.0, b"b")])
    assert file.oldest_stored_at() == 1.5


def test_a_file_that_is_opened_again_still_holds_its_events(path: Path) -> None:
    with closing(OutboxFile.open(path)) as file:
        file.write([(1.0, b"a")])
    with closing(OutboxFile.open(path)) as file:
        assert (file.count, [body for _, body in file.oldest(10)]) == (1, [b"a"])


def test_a_transaction_that_fails_changes_nothing(file: OutboxFile) -> None:
    file.write([(1.0, b"a")])
    with pytest.raises(sqlite3.Error):
        file.write([(2.0, b"b"), (3.0, None)], delete_up_to=1)  # type: ignore[list-item] # it must fail
    assert (file.count, [body for _, body in file.oldest(10)]) == (1, [b"a"])


def test_commits_reach_the_disk(file: OutboxFile) -> None:
    (mode,) = file._connection.execute("PRAGMA synchronous").fetchone()
    (journal,) = file._connection.execute("PRAGMA journal_mode").fetchone()
    assert (mode, journal) == (2, "wal")


def test_the_file_is_readable_by_its_owner_alone(file: OutboxFile, path: Path) -> None:
    file.write([(1.0, b"a")])
    assert {other.stat().st_mode & 0o777 for other in path.parent.iterdir()} == {0o600}


def test_a_file_in_use_is_refused(file: OutboxFile, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kat_predictor.outbox_file._LOCK_WAIT_SECONDS", 0.0)
    with pytest.raises(OutboxUnusable, match="in use by another process"):
        OutboxFile.open(path)


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough" * 40, b"SQLite format 3\x00" + b"\xff" * 900]
)
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(OutboxUnusable, match="is damaged"):
        OutboxFile.open(path)


def test_a_damaged_file_is_refused_and_left_alone(path: Path) -> None:
    with closing(OutboxFile.open(path)) as file:
        file.write([(float(number), b"x" * 500) for number in range(100)])
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\x5a" * 4096
    path.write_bytes(content)
    with pytest.raises(OutboxUnusable, match="is damaged"):
        OutboxFile.open(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(OutboxUnusable, match="some other SQLite database"):
        OutboxFile.open(path)


def test_the_outbox_of_another_version_is_refused(path: Path) -> None:
    with closing(OutboxFile.open(path)) as file:
        file._connection.execute("PRAGMA user_version = 7")
    with pytest.raises(OutboxUnusable, match="version 7"):
        OutboxFile.open(path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutboxUnusable, match=r"cannot be opened.*KAT_OUTBOX_PATH"):
        OutboxFile.open(tmp_path / "file" / "outbox.sqlite3")
