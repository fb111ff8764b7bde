"""What a run of Step-SRPO is asked for is checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from kat_training.errors import RunError
from kat_training.run_folder import RunFolder
from kat_training.step_srpo_plan import RlPlan, asked, base_of


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"steps": 0}, "1 or more"),
        ({"group": 1}, "two completions"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"temperature": 0.0}, "above 0"),
        ({"beta": -0.1}, "not negative"),
        ({"warmup": 1.1}, "share"),
        ({"token_cost": 0.9}, "token cost"),
    ],
)
def test_a_figure_out_of_range_is_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RlPlan(**asked)


def test_every_question_is_asked_once_before_any_is_asked_again() -> None:
    order = asked(5, RlPlan(steps=3, prompts=4))
    assert len(order) == 12
    assert set(order[:5]) == set(order[5:10]) == set(range(5))


def test_the_seed_draws_the_order() -> None:
    plan = RlPlan(steps=5, prompts=4)
    assert asked(20, plan) == asked(20, plan) != asked(20, RlPlan(steps=5, prompts=4, seed=1))


def test_the_base_is_the_one_that_the_cold_start_trained(tmp_path: Path) -> None:
    RunFolder(tmp_path, {"stage": "cold start", "base": "some/model"}).finish(seconds=1.0)
    assert base_of(tmp_path) == "some/model"


def test_a_cold_start_that_was_interrupted_is_refused(tmp_path: Path) -> None:
    RunFolder(tmp_path, {"stage": "cold start", "base": "some/model"})
    with pytest.raises(RunError, match="was interrupted"):
        base_of(tmp_path)


def test_a_run_of_another_stage_is_refused(tmp_path: Path) -> None:
    RunFolder(tmp_path, {"stage": "distillation", "base": "some/model"}).finish(seconds=1.0)
    with pytest.raises(RunError, match="no cold start, but: distillation"):
        base_of(tmp_path)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run"):
        base_of(tmp_path)


@pytest.mark.parametrize("content", [b"{", orjson.dumps({"asked": {}}), orjson.dumps([])])
def test_a_damaged_run_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RunError, match="is damaged"):
        base_of(tmp_path)
