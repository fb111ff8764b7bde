"""The time of a step is shared by the sequences in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.fakes.batch_bench import Bench, Prompts


def test_the_shares_of_all_sequences_sum_up_to_the_time_of_the_steps(
    bench: Callable[..., Bench], prompts: Prompts
) -> None:
    ticks = itertools.count()
    made = bench(prefill_tokens=16, clock=lambda: float(next(ticks)) ** 1.5)
    for length, count in [(3, 9), (40, 4), (16, 12), (1, 1)]:
        made.submit(prompts(length), count)
        made.step(3)
    made.finish()

    assert made.batch.busy_seconds > 0
    assert made.seconds() == pytest.approx(made.batch.busy_seconds)


def test_a_step_is_shared_equally_by_the_rows_in_it_and_by_no_others(
    bench: Callable[..., Bench], prompts: Prompts
) -> None:
    ticks = itertools.count()
    made = bench(clock=lambda: float(next(ticks)))
    running = [made.submit(prompts(3)), made.submit(prompts(3))]
    made.step()
    joiner = made.submit(prompts(3))
    made.step(2)

    assert [[chunk.engine_seconds for chunk in made.chunks[call]] for call in running] == [[0.5, 0.5], [0.5, 0.5]]
    assert [chunk.engine_seconds for chunk in made.chunks[joiner]] == [1.0]


def test_an_idle_batch_does_no_work_and_takes_no_time(bench: Callable[..., Bench]) -> None:
    ticks = itertools.count()
    made = bench(clock=lambda: float(next(ticks)))
    made.step(5)

    assert made.batch.busy_seconds == 0
