"""The journal keeps what was paid for, whatever interrupts a run."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from kat_training.errors import TeacherError
from kat_training.journal import Entry, Journal, Spent, open_journal, read_journal

RUN = "big at http://teacher"
COST = Spent(calls=3, prompt_tokens=30, completion_tokens=12)


def entry(question: str, dropped: str | None = None) -> Entry:
    return Entry(question=question, sample=None if dropped else {"id": question}, dropped=dropped, spent=COST)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "journal.jsonl"
    with open_journal(path, RUN) as journal:
        journal.add(entry("kept"))
        journal.add(entry("dropped", "garbage"))
        journal.add(entry("late", "timeout"))
    return path


@pytest.mark.parametrize(("question", "done"), [("kept", True), ("dropped", True), ("late", False), ("new", False)])
def test_another_run_knows_what_is_done_and_tries_time_outs_again(path: Path, question: str, done: bool) -> None:
    with open_journal(path, RUN) as journal:
        assert journal.has(question) is done


def test_costs_of_every_try_are_summed(path: Path) -> None:
    with open_journal(path, RUN) as journal:
        journal.add(entry("late"))
        assert journal.spent == Spent(calls=12, prompt_tokens=120, completion_tokens=48)


def test_a_later_try_takes_the_place_of_the_earlier_one(path: Path) -> None:
    with open_journal(path, RUN) as journal:
        journal.add(entry("late"))
    entries, _ = read_journal(path)
    assert [(each.question, each.dropped) for each in entries] == [
        ("kept", None),
        ("dropped", "garbage"),
        ("late", None),
    ]


def test_drops_are_counted_by_reason(path: Path) -> None:
    with open_journal(path, RUN) as journal:
        assert journal.drops == {"garbage": 1, "timeout": 1}


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_half_a_line_at_the_end_is_cut_off_and_the_rest_stays(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    with open_journal(path, RUN) as journal:
        assert [each.question for each in journal.entries] == ["kept", "dropped"]
        journal.add(entry("next"))
    assert [each.question for each in read_journal(path)[0]] == ["kept", "dropped", "next"]


def test_a_journal_of_another_run_is_refused(path: Path) -> None:
    with pytest.raises(TeacherError, match="another run"), open_journal(path, "small at http://teacher"):
        pass


@pytest.mark.parametrize("content", [b"{}\n", b"not JSON\n", b'{"run": "x"}\n{"question": 1}\n'])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(TeacherError, match="no journal"):
        read_journal(tmp_path / "file")


def test_two_runs_cannot_have_it_at_once(path: Path) -> None:
    with open_journal(path, RUN), pytest.raises(TeacherError, match="in use"), open_journal(path, RUN):
        pass


class FullDisk(io.BytesIO):
    """A file that there is no room for."""

    def write(self, data: object, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_clear_line() -> None:
    with pytest.raises(TeacherError, match="No space left"):
        Journal(Path("journal"), FullDisk(), RUN)
