"""What an outbox's folder promises at the next start, and what it refuses to work with."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import structlog.testing

from kat.usage_event import MAX_BATCH
from kat_predictor.errors import OutboxUnusable
from kat_predictor.outbox_folder import Opened, open_journal
from kat_predictor.outbox_record import Record

_HOLD = """
import sys
from pathlib import Path
from kat_predictor.outbox_folder import open_journal

journal = open_journal(Path(sys.argv[1]))
print("opened", flush=True)
sys.stdin.read()
"""
_VERSION_1 = """
PRAGMA application_id = 0x4B41544F;
PRAGMA user_version = 1;
CREATE TABLE event (seq INTEGER PRIMARY KEY, stored_at REAL NOT NULL, body BLOB NOT NULL);
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox"


@contextmanager
def opened(folder: Path) -> Generator[Opened]:
    opened = open_journal(folder)
    with closing(opened.journal):
        yield opened


def leave(folder: Path, *bodies: bytes) -> Path:
    """Write events and die. Returns the segment."""
    with opened(folder) as outbox:
        outbox.journal.append([Record(float(number), body) for number, body in enumerate(bodies)])
    return max(folder.glob("events-*"))


def bodies(outbox: Opened) -> list[bytes]:
    """Deliver everything."""
    found: list[bytes] = []
    while (segment := outbox.journal.oldest()) is not None:
        batch = outbox.journal.read(segment, MAX_BATCH)
        found += batch.bodies
        outbox.journal.acknowledge(batch)
    return found


def write_version1(path: Path, bodies: Sequence[bytes], *, die: bool = False) -> None:
    """An outbox of version 1; one whose process died has its events in the write-ahead log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.with_name("draft") if die else path
    with closing(sqlite3.connect(name, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_VERSION_1)
        connection.executemany("INSERT INTO event (stored_at, body) VALUES (7.5, ?)", [(body,) for body in bodies])
        if die:
            for suffix in ("", "-wal"):
                path.with_name(path.name + suffix).write_bytes(name.with_name(name.name + suffix).read_bytes())


def test_a_folder_that_is_opened_again_still_holds_its_events(folder: Path) -> None:
    leave(folder, b"a", b"b")
    leave(folder, b"c")
    with opened(folder) as outbox:
        assert outbox.stored_at == [0.0, 1.0, 0.0]
        assert bodies(outbox) == [b"a", b"b", b"c"]


def test_what_is_written_now_comes_after_what_was_found(folder: Path) -> None:
    leave(folder, b"a")
    with opened(folder) as outbox:
        outbox.journal.append([Record(1.0, b"b")])
        assert bodies(outbox) == [b"a", b"b"]


def test_what_was_found_is_taken_for_synced(folder: Path) -> None:
    leave(folder, b"a")
    with opened(folder) as outbox:
        assert outbox.journal.unsynced() is None


def test_folder_and_files_are_readable_by_their_owner_alone(folder: Path) -> None:
    leave(folder, b"a")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@contextmanager
def another_process(folder: Path) -> Generator[None]:
    """A process that has the folder open."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"opened\n"
        yield
        process.kill()


def test_a_folder_in_use_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kat_predictor.outbox_folder._LOCK_WAIT_SECONDS", 0.0)
    with another_process(folder), pytest.raises(OutboxUnusable, match="in use by another process"):
        open_journal(folder)


def test_a_folder_that_its_predecessor_lets_go_in_time_is_opened(folder: Path) -> None:
    with another_process(folder):
        pass
    with opened(folder) as outbox:
        assert outbox.stored_at == []


@pytest.mark.parametrize("cut", [1, 2, 10])
def test_a_record_that_was_cut_short_is_left_out(folder: Path, cut: int) -> None:
    segment = leave(folder, b"a", b"b")
    segment.write_bytes(segment.read_bytes()[:-cut])
    with structlog.testing.capture_logs() as logs, opened(folder) as outbox:
        assert bodies(outbox) == [b"a"]
    assert [log["event"] for log in logs] == ["outbox_record_cut_short"]


def test_a_page_that_a_lost_machine_had_not_written_is_left_out(folder: Path) -> None:
    segment = leave(folder, b"a", b"b" * 100, b"c")
    first, second, third = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(first + bytes(len(second) - 5) + second[-5:] + third)
    with structlog.testing.capture_logs() as logs, opened(folder) as outbox:
        assert len(outbox.stored_at) == 2
        assert bodies(outbox) == [b"a", b"c"]
    assert [log["event"] for log in logs] == ["outbox_record_cut_short"]


def test_a_segment_without_a_whole_record_is_gone(folder: Path) -> None:
    segment = leave(folder, b"a")
    segment.write_bytes(segment.read_bytes()[:-1])
    with opened(folder) as outbox:
        assert outbox.stored_at == []
    assert not segment.exists()


@pytest.mark.parametrize("offset", [0, 12, -2])
def test_a_damaged_segment_is_refused_and_left_alone(folder: Path, offset: int) -> None:
    segment = leave(folder, b"a" * 100, b"b" * 100)
    content = bytearray(segment.read_bytes())
    content[offset] ^= 1
    segment.write_bytes(content)
    with pytest.raises(OutboxUnusable, match="is damaged"):
        open_journal(folder)
    assert segment.read_bytes() == content


def test_a_refused_folder_is_not_kept_locked(folder: Path) -> None:
    segment = leave(folder, b"a")
    content = segment.read_bytes()
    segment.write_bytes(b"x" + content[1:])
    with pytest.raises(OutboxUnusable):
        open_journal(folder)
    segment.write_bytes(content)
    with opened(folder) as outbox:
        assert bodies(outbox) == [b"a"]


def test_a_segment_of_another_version_is_refused(folder: Path) -> None:
    segment = leave(folder, b"a")
    segment.rename(segment.with_suffix(".v7"))
    with pytest.raises(OutboxUnusable, match="version 7"):
        open_journal(folder)


def test_what_a_volume_brings_along_is_left_alone(folder: Path) -> None:
    (folder / "lost+found").mkdir(parents=True)
    leave(folder, b"a")
    with opened(folder) as outbox:
        assert bodies(outbox) == [b"a"]
    assert (folder / "lost+found").is_dir()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutboxUnusable, match=r"cannot be opened.*KAT_OUTBOX_PATH"):
        open_journal(tmp_path / "file" / "outbox")


@pytest.mark.parametrize("die", [False, True], ids=["closed", "killed"])
@pytest.mark.parametrize("name", ["outbox", "outbox.sqlite3"], ids=["at the same path", "beside it"])
def test_the_events_of_version_1_are_taken_over(folder: Path, name: str, die: bool) -> None:
    written = [b"%d" % number for number in range(MAX_BATCH + 1)]
    write_version1(folder.with_name(name), written, die=die)
    with opened(folder) as outbox:
        assert (outbox.stored_at, outbox.journal.unsynced()) == ([7.5] * len(written), None)
        assert bodies(outbox) == written
    assert {path.name for path in folder.parent.iterdir()} <= {"outbox", "draft"}


def test_taking_over_after_a_death_on_the_way_loses_nothing(folder: Path) -> None:
    """The file is deleted last; until then its events may come twice, which metering knows."""
    leave(folder, b"a")
    write_version1(folder.with_name("outbox.sqlite3"), [b"a", b"b"])
    with opened(folder) as outbox:
        assert bodies(outbox) == [b"a", b"a", b"b"]


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough" * 40, b"SQLite format 3\x00" + b"\xff" * 900]
)
def test_a_file_that_is_no_outbox_is_refused_and_left_alone(folder: Path, content: bytes) -> None:
    folder.parent.mkdir()
    folder.write_bytes(content)
    with pytest.raises(OutboxUnusable, match="is damaged"):
        open_journal(folder)
    assert folder.read_bytes() == content


def test_the_database_of_another_program_is_refused(folder: Path) -> None:
    folder.parent.mkdir()
    with closing(sqlite3.connect(folder)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(OutboxUnusable, match="some other SQLite database"):
        open_journal(folder)


def test_a_file_of_a_version_that_never_was_is_refused(folder: Path) -> None:
    write_version1(folder, [])
    with closing(sqlite3.connect(folder)) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(OutboxUnusable, match="version 7"):
        open_journal(folder)


def test_a_file_of_version_1_in_use_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kat_predictor.outbox_version1._LOCK_WAIT_SECONDS", 0.0)
    write_version1(folder, [b"a"])
    with closing(sqlite3.connect(folder, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("INSERT INTO event (stored_at, body) VALUES (1, 'b')")
        with pytest.raises(OutboxUnusable, match="in use by another process"):
            open_journal(folder)
