"""Whose turn it is."""

from hypothesis import given
from hypothesis import strategies as st

from kat_operator.kinds import Key
from kat_operator.schedule import Schedule

KAT, OTHER = Key("default", "kat"), Key("default", "other")


def a_schedule(*services: Key) -> Schedule:
    schedule = Schedule(longest_backoff_seconds=60, jitter=lambda: 1.0)
    for service in services:
        schedule.add(service, 0.0)
    return schedule


def looked_at(schedule: Schedule, now: float, *, failed: bool = False) -> list[Key]:
    looks = list(schedule.begin(now))
    for service in looks:
        schedule.end(service, now, interval=5, failed=failed)
    return looks


def test_a_new_service_is_looked_at_at_once() -> None:
    assert looked_at(a_schedule(KAT), 0.0) == [KAT]


def test_a_service_comes_due_with_every_interval_though_nothing_happened() -> None:
    schedule = a_schedule(KAT)
    looked_at(schedule, 0.0)

    assert looked_at(schedule, 4.9) == []
    assert looked_at(schedule, 5.0) == [KAT]


def test_services_of_one_interval_come_due_together() -> None:
    schedule = a_schedule(KAT)
    looked_at(schedule, 1.0)
    schedule.add(OTHER, 3.0)
    looked_at(schedule, 3.0)

    assert looked_at(schedule, 5.0) == [KAT, OTHER]


def test_a_change_brings_a_service_forward() -> None:
    schedule = a_schedule(KAT, OTHER)
    looked_at(schedule, 0.0)
    schedule.wake(KAT, 2.0)

    assert looked_at(schedule, 2.0) == [KAT]


def test_many_changes_at_once_bring_one_look() -> None:
    schedule = a_schedule(KAT)
    looked_at(schedule, 0.0)
    for _change in range(100):
        schedule.wake(KAT, 0.01)

    assert looked_at(schedule, 0.01) == []
    assert looked_at(schedule, 0.3) == [KAT]
    assert looked_at(schedule, 0.6) == []


def test_a_service_that_is_being_looked_at_is_not_looked_at_twice() -> None:
    schedule = a_schedule(KAT)
    assert list(schedule.begin(0.0)) == [KAT]
    schedule.wake(KAT, 10.0)

    assert list(schedule.begin(10.0)) == []


def test_a_change_during_a_look_brings_one_more_afterwards() -> None:
    schedule = a_schedule(KAT)
    list(schedule.begin(0.0))
    schedule.wake(KAT, 0.5)
    schedule.end(KAT, 1.0, interval=5, failed=False)

    assert looked_at(schedule, 1.3) == [KAT]


def test_a_service_that_fails_waits_longer_each_time_and_not_without_end() -> None:
    schedule = a_schedule(KAT)
    waits, now = [], 0.0
    for _failure in range(10):
        looked_at(schedule, now, failed=True)
        due = schedule.next_due()
        assert due is not None
        waits.append(due - now)
        now = due

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_a_change_does_not_cut_a_backoff_short() -> None:
    schedule = a_schedule(KAT)
    looked_at(schedule, 0.0, failed=True)
    schedule.wake(KAT, 0.5)

    assert looked_at(schedule, 0.5) == []


def test_a_success_ends_the_backoff() -> None:
    schedule = a_schedule(KAT)
    looked_at(schedule, 0.0, failed=True)
    looked_at(schedule, 1.0)
    looked_at(schedule, 5.0, failed=True)

    assert schedule.next_due() == 6.0


def test_a_service_that_is_gone_is_forgotten() -> None:
    schedule = a_schedule(KAT)
    list(schedule.begin(0.0))
    schedule.remove(KAT)
    schedule.end(KAT, 1.0, interval=5, failed=False)

    assert schedule.next_due() is None


@given(st.lists(st.tuples(st.sampled_from(["wake", "look", "fail"]), st.floats(0, 3)), max_size=60))
def test_whatever_happens_a_service_is_looked_at_again_within_its_interval_or_its_backoff(
    steps: list[tuple[str, float]],
) -> None:
    schedule, now = a_schedule(KAT), 0.0
    for step, seconds in steps:
        now += seconds
        if step == "wake":
            schedule.wake(KAT, now)
        else:
            looked_at(schedule, now, failed=step == "fail")

    due = schedule.next_due()
    assert due is not None
    assert due <= now + 60
