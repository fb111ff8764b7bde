"""A scheduler that hangs is told from one that is busy, and from one that has nothing to do."""

from __future__ import annotations

import pytest

from kat_predictor.engines.vllm_progress import Progress
from tests.fakes.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress(60, clock.monotonic)


def test_nothing_to_do_is_no_hang_however_long_it_lasts(clock: Clock, progress: Progress) -> None:
    clock.advance(1_000)
    assert not progress.stalled(at_work=False)


def test_work_without_a_step_is_a_hang_once_it_took_too_long(clock: Clock, progress: Progress) -> None:
    progress.begin(at_work=False)
    clock.advance(60)
    assert not progress.stalled(at_work=True)
    clock.advance(0.1)
    assert progress.stalled(at_work=True)


def test_time_without_work_does_not_count(clock: Clock, progress: Progress) -> None:
    clock.advance(1_000)
    progress.begin(at_work=False)
    clock.advance(59)
    assert not progress.stalled(at_work=True)


def test_every_step_gives_the_next_one_its_full_time(clock: Clock, progress: Progress) -> None:
    progress.begin(at_work=False)
    for _ in range(10):
        clock.advance(59)
        progress.step()
    assert not progress.stalled(at_work=True)
    clock.advance(61)
    assert progress.stalled(at_work=True)


def test_new_calls_do_not_hide_that_the_others_hang(clock: Clock, progress: Progress) -> None:
    progress.begin(at_work=False)
    for _ in range(7):
        clock.advance(10)
        progress.begin(at_work=True)
    assert progress.stalled(at_work=True)


def test_a_scheduler_that_goes_on_after_all_is_well_again(clock: Clock, progress: Progress) -> None:
    progress.begin(at_work=False)
    clock.advance(100)
    assert progress.stalled(at_work=True)
    progress.step()
    assert not progress.stalled(at_work=True)
