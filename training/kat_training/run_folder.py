"""The folder of one training run: what was asked for, its checkpoints, its curve. A run goes on where it stopped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson
from safetensors import SafetensorError

from kat_training.errors import RunError

RUN: Final = "run.json"
_PACKAGES: Final = ("torch", "transformers", "trl", "peft")
_COMPLETE: Final = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth")
_NEARLY_FULL: Final = 64 * 2**20
"""Bytes; less than a checkpoint of the smallest model takes."""


class RunFolder:
    """A run's folder.

    Raises:
        RunError: It holds a run that was asked for otherwise, or cannot be made.
    """

    def __init__(self, path: Path, asked: Mapping[str, Any]) -> None:
        self.path = path
        self._asked = orjson.loads(orjson.dumps(dict(asked), default=str))
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._claim()
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror or error}") from error

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def finished(self) -> bool:
        return "seconds" in self._read()

    def last_checkpoint(self) -> Path | None:
        """The newest one that is whole: the last may be half written, if that is when the run was interrupted."""
        found = [folder for folder in self.checkpoints.glob("checkpoint-*") if _whole(folder)]
        return max(found, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)

    def finish(self, *, seconds: float, **figures: Any) -> None:
        """Say what it took, with which versions, and drop the checkpoints: the result stands beside them."""
        versions = {name: version(name) for name in _PACKAGES}
        self._write({**self._read(), "seconds": round(seconds, 1), "versions": versions, **figures})
        if self.checkpoints.exists():
            shutil.rmtree(self.checkpoints)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Within it, a disk that is full is an error of one line. What is on disk by then serves to go on from.

        Raises:
            RunError: Nothing more can be written.
        """
        try:
            yield
        except OSError as error:
            raise RunError(f"{self.path} cannot be written: {error.strerror or error}") from error
        # Neither library says which system call failed.
        except (RuntimeError, SafetensorError) as error:
            if shutil.disk_usage(self.path).free < _NEARLY_FULL:
                raise RunError(f"{self.path} cannot be written: the disk is full") from error
            raise

    def _claim(self) -> None:
        if not (self.path / RUN).exists():
            self._write({"asked": self._asked})
            return
        before = self._read().get("asked", {})
        if differing := sorted(name for name in {*before, *self._asked} if before.get(name) != self._asked.get(name)):
            raise RunError(
                f"{self.path} holds a run with another {', '.join(differing)}; give a new folder, or what it was begun with"
            )

    def _read(self) -> dict[str, Any]:
        try:
            read: dict[str, Any] = orjson.loads((self.path / RUN).read_bytes())
        except orjson.JSONDecodeError as error:
            raise RunError(f"{self.path / RUN} is damaged: {error}") from error
        return read

    def _write(self, values: Mapping[str, Any]) -> None:
        unfinished = self.path / f".{RUN}.unfinished"
        unfinished.write_bytes(orjson.dumps(dict(values), option=orjson.OPT_INDENT_2))
        unfinished.rename(self.path / RUN)


def _whole(checkpoint: Path) -> bool:
    return all((checkpoint / name).exists() for name in _COMPLETE)
