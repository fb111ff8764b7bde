"""`kat train rl` says what is wrong before it loads a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kat_training.cli import train
from kat_training.run_folder import RunFolder


@pytest.fixture
def cold_start(tmp_path: Path) -> Path:
    folder = RunFolder(tmp_path / "cold", {"stage": "cold start", "base": "some/model"})
    return folder.path


def rl(cold_start: Path, *options: str) -> Result:
    given = ["--corpus", str(cold_start.parent), "--cold-start", str(cold_start), "--out", str(cold_start / "rl")]
    return CliRunner().invoke(train, ["rl", *given, *options])


def test_a_cold_start_that_was_interrupted_is_one_line(cold_start: Path) -> None:
    result = rl(cold_start)
    assert result.exit_code == 2
    assert result.stderr == f"Error: the cold start in {cold_start} was interrupted; the same command goes on with it\n"


def test_a_corpus_that_is_missing_is_one_line(cold_start: Path) -> None:
    RunFolder(cold_start, {"stage": "cold start", "base": "some/model"}).finish(seconds=1.0)
    result = rl(cold_start)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: there is no ")


def test_weights_that_turn_the_order_of_outcomes_round_are_refused(cold_start: Path) -> None:
    result = rl(cold_start, "--token-cost", "0.9")
    assert result.exit_code == 2
    assert "the token cost must stay below" in result.stderr
