"""How busy time is split among calls."""

from __future__ import annotations

import random

import pytest

from kat_predictor.engines.vllm_busy_time import BusyTime, Share


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def busy(clock: Clock) -> BusyTime:
    return BusyTime(clock)


def test_a_call_alone_has_all_of_the_time(clock: Clock, busy: BusyTime) -> None:
    call = busy.join()
    clock.seconds += 2
    assert call.take() == 2


def test_calls_that_run_together_have_equal_parts(clock: Clock, busy: BusyTime) -> None:
    calls = [busy.join() for _ in range(4)]
    clock.seconds += 2
    assert [call.take() for call in calls] == [0.5] * 4


def test_a_part_is_given_once(clock: Clock, busy: BusyTime) -> None:
    call = busy.join()
    clock.seconds += 2
    call.take()
    clock.seconds += 1
    assert call.take() == 1


def test_time_before_a_call_joined_is_not_its_own(clock: Clock, busy: BusyTime) -> None:
    busy.join()
    clock.seconds += 5
    late = busy.join()
    clock.seconds += 2
    assert late.take() == 1


def test_a_stopped_call_keeps_what_it_is_owed_and_gets_no_more(clock: Clock, busy: BusyTime) -> None:
    call = busy.join()
    clock.seconds += 2
    call.stop()
    clock.seconds += 7
    assert call.take() == 2
    assert call.take() == 0


def test_stopping_twice_does_not_free_a_second_place(clock: Clock, busy: BusyTime) -> None:
    gone, stays = busy.join(), busy.join()
    gone.stop()
    gone.stop()
    clock.seconds += 3
    assert stays.take() == 3


def test_idle_time_belongs_to_nobody(clock: Clock, busy: BusyTime) -> None:
    busy.join().stop()
    clock.seconds += 60
    call = busy.join()
    clock.seconds += 1
    assert call.take() == 1
    assert busy.seconds == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_add_up_to_the_busy_time_whatever_the_order(clock: Clock, busy: BusyTime, seed: int) -> None:
    dice = random.Random(seed)
    running: list[Share] = []
    given = 0.0
    for _ in range(500):
        clock.seconds += dice.random()
        match dice.choice(["join", "take", "stop"]):
            case "join":
                running.append(busy.join())
            case "take" if running:
                given += dice.choice(running).take()
            case "stop" if running:
                call = running.pop(dice.randrange(len(running)))
                call.stop()
                given += call.take()
            case _:
                pass
    given += sum(call.take() for call in running)
    assert given == pytest.approx(busy.seconds)
