"""The performance page says what the benchmarks said, and does not flatter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tools.performance import Goal, Machine, Run, page

MACHINE = Machine(
    processor="AMD EPYC (family 25, model 17)",
    cpus=2,
    memory_gib=23.5,
    system="Linux 6.1",
    python="3.11.9",
    libraries={"torch": "2.13.0"},
    load_before=0.4,
)
GOALS = {"outbox": [Goal("added_ms.p99", "added at p99, ms", at_most=0.2)]}


def run(result: dict[str, Any], benchmark: str = "outbox") -> Run:
    return Run(
        benchmark=benchmark,
        measured_at=datetime(2026, 11, 24, 21, 5, tzinfo=UTC),
        seconds=12.3,
        machine=MACHINE,
        printed="5,000 events/s",
        result=result,
    )


@pytest.mark.parametrize(("p99", "verdict"), [(0.2, "met"), (0.21, "**missed**")])
def test_a_goal_is_met_up_to_its_bound(p99: float, verdict: str) -> None:
    text = page([run({"added_ms": {"p99": p99}})], GOALS)
    assert f"| [outbox](#outbox) | added at p99, ms | ≤ 0.2 | {p99} | {verdict} |" in text


def test_a_lower_bound_is_met_from_below() -> None:
    goal = Goal("rate", "events/s", at_least=5_000)
    assert [goal.met_by(value) for value in (4_999, 5_000)] == [False, True]


def test_a_result_without_the_figure_of_a_goal_is_an_error_and_no_empty_cell() -> None:
    with pytest.raises(KeyError, match="added_ms"):
        page([run({})], GOALS)


def test_every_run_names_its_machine_and_shows_what_it_printed() -> None:
    text = page([run({}, "humaneval")], GOALS)
    assert "AMD EPYC (family 25, model 17), 2 CPUs, 23.5 GiB; Linux 6.1; Python 3.11.9, torch 2.13.0; load 0.4" in text
    assert "```\n5,000 events/s\n```" in text
