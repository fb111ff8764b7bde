"""The journal of a teacher's run: a line for each question, so that an interrupted run goes on where it ended."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kat_training.chat_endpoint import Failing
from kat_training.errors import TeacherError

BELOW_THRESHOLD: Final = "below_threshold"
_TO_BE_TRIED_AGAIN: Final = {Failing.TIMEOUT, Failing.FAILED}
"""What the network did is no verdict on a question."""


class Spent(BaseModel):
    """What was asked of the teacher, as the teacher counts it."""

    model_config = ConfigDict(extra="forbid")

    calls: int = Field(0, ge=0)
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )


class Entry(BaseModel):
    """What became of one question: a sample, or the reason why there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str
    """Its id."""
    sample: dict[str, Any] | None = None
    """As `store.row_of` makes it."""
    dropped: str | None = None
    rounds: int = 0
    spent: Spent

    @property
    def final(self) -> bool:
        """Another run has nothing to add."""
        return self.dropped not in _TO_BE_TRIED_AGAIN


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str


class Journal:
    """An open journal; only one process has it. See `open_journal`."""

    def __init__(self, path: Path, file: BinaryIO, run: str) -> None:
        self._path = path
        self._file = file
        self._entries: dict[str, Entry] = {}
        self.spent = Spent()
        """Of all runs: what is tried again was paid for the first time, too."""
        self._load(run)

    def has(self, question: str) -> bool:
        """The question needs no further try."""
        return question in self._entries and self._entries[question].final

    @property
    def entries(self) -> list[Entry]:
        """The latest of each question, in the order of their first."""
        return list(self._entries.values())

    @property
    def drops(self) -> Counter[str]:
        return Counter(entry.dropped for entry in self._entries.values() if entry.dropped is not None)

    def add(self, entry: Entry) -> None:
        """Write an entry down.

        Raises:
            TeacherError: It cannot be written: the disk is full, say. What was written before stays.
        """
        self._write(entry)
        self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        self._entries[entry.question] = entry
        self.spent += entry.spent

    def _write(self, line: BaseModel) -> None:
        try:
            self._file.write(line.model_dump_json().encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise TeacherError(f"the journal {self._path} cannot be written: {error.strerror or error}") from error

    def _load(self, run: str) -> None:
        lines = self._file.read().split(b"\n")
        # The end of an interrupted run may have left half a line behind the last whole one.
        torn = len(lines.pop())
        if torn:
            self._file.seek(-torn, os.SEEK_END)
            self._file.truncate()
        if not lines:
            self._write(_Head(run=run))
            return
        of, entries = _parsed(self._path, lines)
        if of != run:
            raise TeacherError(f"{self._path} is of another run ({of}); this one is {run}")
        for entry in entries:
            self._keep(entry)


def read_journal(path: Path) -> tuple[list[Entry], Spent]:
    """The latest entry of each question, and what all of them cost; of any run, and without changing the file.

    Raises:
        TeacherError: It cannot be read, or is damaged.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise TeacherError(f"the journal {path} cannot be read: {error.strerror or error}") from error
    _, entries = _parsed(path, lines)
    latest = {entry.question: entry for entry in entries}
    return list(latest.values()), sum((entry.spent for entry in entries), Spent())


def _parsed(path: Path, lines: Sequence[bytes]) -> tuple[str, list[Entry]]:
    """Which run a journal is of, and all of its entries."""
    try:
        return _Head.model_validate_json(lines[0]).run, [Entry.model_validate_json(line) for line in lines[1:]]
    except (ValidationError, IndexError) as error:
        raise TeacherError(f"{path} is no journal of a teacher's run, or is damaged") from error


@contextmanager
def open_journal(path: Path, run: str) -> Iterator[Journal]:
    """Open a journal, or begin one.

    Args:
        path: Its file.
        run: What must be the same for two runs to be one: teacher, threshold and the like, in a few words.

    Raises:
        TeacherError: It cannot be opened or is damaged, belongs to another run, or is in use.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise TeacherError(f"the journal {path} cannot be opened: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TeacherError(f"the journal {path} is in use by another run") from error
        file.seek(0)
        yield Journal(path, file, run)
