from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kat_predictor.engines import default_model as module
from kat_predictor.engines.default_model import DefaultModelError, default_model

Convert = Callable[[Path, Path], None]


def ignore(_message: str) -> None:
    pass


@pytest.fixture(autouse=True)
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights in the place of the real ones, which take a third of a minute to convert."""
    weights = tmp_path / "small.gguf"
    weights.write_bytes(b"weights")
    monkeypatch.setattr(module, "_packaged_weights", lambda: weights)
    return weights


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The targets of the conversions that were done."""
    done: list[Path] = []

    def convert(_source: Path, target: Path) -> None:
        done.append(target)
        target.mkdir()
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(module, "_convert", convert)
    return done


def test_the_checkpoint_is_made_once(tmp_path: Path, conversions: list[Path]) -> None:
    first = default_model(tmp_path / "models", progress=ignore)
    second = default_model(tmp_path / "models", progress=ignore)

    assert first == second
    assert (first / "config.json").exists()
    assert len(conversions) == 1


def test_processes_that_start_together_convert_once(tmp_path: Path, conversions: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: default_model(tmp_path / "models", progress=ignore), range(4)))

    assert len(found) == len(conversions) == 1


def test_other_weights_make_another_checkpoint(tmp_path: Path, packaged: Path, conversions: list[Path]) -> None:
    first = default_model(tmp_path / "models", progress=ignore)
    packaged.write_bytes(b"newer weights")

    assert default_model(tmp_path / "models", progress=ignore) != first
    assert len(conversions) == 2


def test_a_conversion_that_fails_midway_leaves_no_checkpoint_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_source: Path, target: Path) -> None:
        target.mkdir()
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "_convert", fail)

    with pytest.raises(OSError, match="no space"):
        default_model(tmp_path / "models", progress=ignore)
    assert [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()] == []


def test_progress_is_told_while_it_converts_and_not_after(tmp_path: Path, conversions: list[Path]) -> None:
    told: list[str] = []
    default_model(tmp_path / "models", progress=told.append)
    during = list(told)
    default_model(tmp_path / "models", progress=told.append)

    assert [message.split()[0] for message in during] == ["converting", "converted"]
    assert told == during


def test_without_the_wheel_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(module, "_PACKAGE", "kat_serving_has_no_such_package")

    with pytest.raises(DefaultModelError, match=r"pip install 'kat-serving\[local\]'"):
        default_model(Path("never-made"))
