"""A run's folder says whose it is, and where the run goes on; its curve has no step twice."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from kat_training.curve import plot, read_curve, write_curve
from kat_training.errors import RunError
from kat_training.run_folder import RunFolder

ASKED = {"stage": "cold start", "steps": 20, "seed": 0}
STATE = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth")


def checkpoint(folder: RunFolder, step: int, files: tuple[str, ...] = STATE) -> Path:
    made = folder.checkpoints / f"checkpoint-{step}"
    made.mkdir(parents=True)
    for name in files:
        (made / name).touch()
    return made


def test_a_run_is_gone_on_with_from_its_newest_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, ASKED)
    checkpoint(folder, 90)
    newest = checkpoint(folder, 100)
    assert RunFolder(tmp_path, ASKED).last_checkpoint() == newest


def test_a_checkpoint_that_is_half_written_is_passed_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, ASKED)
    whole = checkpoint(folder, 90)
    checkpoint(folder, 100, STATE[:-1])
    assert folder.last_checkpoint() == whole


def test_a_new_run_has_no_checkpoint(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "new", ASKED).last_checkpoint() is None


def test_what_was_asked_for_otherwise_is_named(tmp_path: Path) -> None:
    RunFolder(tmp_path, ASKED)
    with pytest.raises(RunError, match="another seed, steps"):
        RunFolder(tmp_path, {**ASKED, "seed": 1, "steps": 30})


def test_a_damaged_run_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        RunFolder(tmp_path, ASKED)


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        RunFolder(tmp_path / "file", ASKED)


def test_a_finished_run_says_what_it_took_and_keeps_no_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, ASKED)
    checkpoint(folder, 20)
    folder.finish(seconds=12.34, samples=7)
    told = orjson.loads((tmp_path / "run.json").read_bytes())
    assert (told["asked"], told["seconds"], told["samples"]) == (ASKED, 12.3, 7)
    assert (folder.finished, folder.checkpoints.exists()) == (True, False)


def test_a_full_disk_is_an_error_of_one_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, ASKED)
    with pytest.raises(RunError, match="No space left on device"), folder.writing():
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_without_a_reason_on_a_full_disk_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path, ASKED)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(RunError, match="the disk is full"), folder.writing():
        raise RuntimeError("unexpected pos 192 vs 128")


def test_an_error_that_has_nothing_to_do_with_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, ASKED)
    with pytest.raises(RuntimeError, match="shape"), folder.writing():
        raise RuntimeError("shape mismatch")


def test_a_curve_written_anew_has_no_step_twice(tmp_path: Path) -> None:
    write_curve(tmp_path, [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0}])
    write_curve(tmp_path, [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.5}])
    assert read_curve(tmp_path) == [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.5}]


def test_a_plot_has_a_line_for_each_figure(tmp_path: Path) -> None:
    write_curve(tmp_path, [{"step": 10, "loss": 2.0, "learning_rate": 0.1}, {"step": 20, "loss": 1.0}])
    drawn = plot(tmp_path, ["loss", "learning_rate"], title="Cold start").read_text()
    assert all(words in drawn for words in ("Cold start", "loss", "learning rate"))
