"""What is said of runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kat_operator.simulation.plot import bars, sampled
from kat_operator.simulation.report import as_markdown, losses
from kat_operator.simulation.run import Run
from kat_operator.simulation.score import Score
from kat_operator.simulation.trace import Trace

NONE = np.zeros(0, dtype=np.int64)
TRACE = Trace("some trace", np.zeros(0), NONE, NONE, NONE, NONE.astype(bool), 3_600.0, 0.0)
SCORE = Score(100, 0.995, 1.0, 0.99, 0, 0, 1.0, 9.0, 5.0, 3, 0.0, 1.0, 5.0, 7)


def run(law: str, *, attained: float, gpu_hours: float) -> Run:
    score = replace(SCORE, attained=attained, gpu_hours=gpu_hours)
    return Run(law, TRACE, (), [(0.0, 1)], [(0.0, 1)], 0.0, 0, score)


def cell(ours: tuple[float, float], hpa: tuple[float, float]) -> list[Run]:
    return [
        run("ours", attained=ours[0], gpu_hours=ours[1]),
        run("hpa", attained=hpa[0], gpu_hours=hpa[1]),
        run("static", attained=0.99, gpu_hours=10.0),
    ]


def test_nothing_is_lost_where_the_goals_are_met_and_no_law_is_better_on_both() -> None:
    assert losses(cell((0.99, 8.0), (0.999, 8.1))) == []
    assert losses(cell((0.99, 8.0), (0.98, 3.0))) == []


@pytest.mark.parametrize(
    ("ours", "hpa", "says"),
    [
        ((0.98, 8.0), (0.9, 9.0), "attains 98.00%"),
        ((0.99, 8.1), (0.9, 9.0), "81.0%"),
        ((0.99, 8.0), (0.995, 7.9), "hpa attains more"),
    ],
)
def test_a_loss_is_said(ours: tuple[float, float], hpa: tuple[float, float], says: str) -> None:
    (loss,) = losses(cell(ours, hpa))
    assert says in loss


def test_the_page_shows_every_law_and_every_loss() -> None:
    page = as_markdown([cell((0.98, 8.0), (0.9, 9.0))])
    assert page.count("| **ours** |") == page.count("| HPA on requests |") == page.count("| static |") == 1
    assert "- some trace: attains 98.00%, below 99%." in page


def test_bounds_are_shown_and_are_no_law_to_lose_against() -> None:
    bounds = [run("peak", attained=0.999, gpu_hours=7.0), run("foresight", attained=0.999, gpu_hours=6.0)]
    runs = [*cell((0.99, 8.0), (0.9, 9.0)), *bounds]
    assert losses(runs) == []
    page = as_markdown([runs])
    assert page.count("| static, for the peak |") == page.count("| *with foresight* |") == 1


def test_other_seeds_are_told_by_their_median_and_worst() -> None:
    seeds = [
        [replace(each, seed=seed) for each in cell((attained, gpu_hours), (0.9, 9.0))]
        for seed, attained, gpu_hours in ((1, 0.999, 7.0), (2, 0.98, 7.9), (3, 0.995, 6.0))
    ]
    page = as_markdown([], seeds)
    assert "| some trace | 1, 2, 3 | 99.50% | 98.00% | 70% | 79% |" in page
    assert "- some trace, seed 2: attains 98.00%, below 99%." in page


def test_bars_are_as_high_as_their_share_of_the_highest() -> None:
    assert bars([0, 1, 4, 8]) == " ▁▄█"
    assert bars([1, 2], highest=8) == "▁▂"
    assert bars([0, 0]) == "  "


def test_a_step_function_is_sampled_by_its_highest_value() -> None:
    steps = [(0.0, 1), (12.0, 5), (15.0, 2), (30.0, 3)]
    assert sampled(steps, 0.0, 40.0, 4).tolist() == [1.0, 5.0, 2.0, 3.0]
