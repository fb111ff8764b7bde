"""As `os.pwrite`, but the interpreter is not let go of."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from kat_predictor.outbox_write import pwrite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.fixture
def descriptor(path: Path) -> Generator[int]:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    yield descriptor
    os.close(descriptor)


def test_bytes_are_written_where_they_should_be(descriptor: int, path: Path) -> None:
    assert pwrite(descriptor, b"zero\0and more", 3) == 13
    assert path.read_bytes() == b"\0\0\0zero\0and more"


def test_a_place_beyond_four_gibibytes_is_a_place(descriptor: int, path: Path) -> None:
    pwrite(descriptor, b"x", 2**33)
    assert path.stat().st_size == 2**33 + 1


def test_a_failure_says_which(path: Path) -> None:
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor") as raised:
        pwrite(descriptor, b"x", 0)
    os.close(descriptor)
    assert raised.value.errno == errno.EBADF
