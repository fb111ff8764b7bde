"""GPU cost: shares of busy time and idle time add up to what the GPUs cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from kat_metering.gpu_cost import Busy, Capacity, GpuCostReport, Shares, gpu_cost_report, share_out
from kat_metering.money import exact_sum

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


def hour(number: int) -> datetime:
    return START + timedelta(hours=number)


END = hour(4)


def capacity(number: int = 0, *, source: str = "a", gpus: int = 2, seconds: str = "3600", price: str = "3") -> Capacity:
    return Capacity(source, hour(number), gpus, Decimal(seconds), Decimal(price))


def busy(seconds: str, number: int = 0, *, source: str = "a", tenant: str = "acme") -> Busy:
    return Busy(source, hour(number), tenant, Decimal(seconds))


def exact(*numbers: int) -> tuple[Fraction, ...]:
    return tuple(Fraction(number) for number in numbers)


def shared(capacities: list[Capacity], work: list[Busy]) -> Shares:
    return share_out(capacities, work, start=START, end=END)


def report(shares: Shares) -> GpuCostReport:
    return gpu_cost_report(shares, start=START, end=END, currency="USD", replica_hours=1)


def test_a_tenant_pays_for_its_share_of_busy_time_on_all_gpus_of_the_replica() -> None:
    found = shared([capacity()], [busy("900"), busy("1800", tenant="zeta")])
    # A quarter and a half of an hour on two GPUs at 3 an hour.
    assert {name: each.cost for name, each in found.tenants.items()} == {"acme": Fraction(3, 2), "zeta": 3}


def test_what_nobody_used_is_idle() -> None:
    found = shared([capacity(), capacity(source="b")], [busy("900")])
    assert (found.idle.seconds, found.idle.cost) == (Fraction(2 * 2700 + 2 * 3600), Fraction(9, 2) + 6)


def test_what_an_hour_cannot_have_held_runs_on_into_the_next_in_proportion() -> None:
    found = shared([capacity(0, gpus=1), capacity(1, gpus=1)], [busy("3600"), busy("1200", tenant="zeta")])
    assert {name: each.seconds for name, each in found.tenants.items()} == {"acme": 3600, "zeta": 1200}
    assert (found.idle.seconds, found.unplaced) == exact(2400, 0)


def test_it_is_priced_in_the_hour_in_which_it_ran() -> None:
    found = shared([capacity(0, gpus=1, price="1"), capacity(1, gpus=1, price="5")], [busy("5400")])
    assert found.tenants["acme"].cost == 1 + Fraction(5, 2)


def test_work_without_a_recorded_replica_is_told_and_costs_nothing() -> None:
    found = shared([], [busy("10")])
    assert (found.unplaced, found.total.cost) == exact(10, 0)
    assert not found.tenants


def test_work_beyond_the_last_hour_of_a_replica_is_told() -> None:
    found = shared([capacity(0)], [busy("3700")])
    assert (found.tenants["acme"].seconds, found.idle.seconds, found.unplaced) == exact(7200, 0, 100)


def test_work_that_ran_on_from_before_the_report_is_in_it() -> None:
    found = shared([capacity(-1, gpus=1), capacity(0, gpus=1)], [busy("4000", -1)])
    assert (found.tenants["acme"].seconds, found.total.seconds) == exact(400, 3600)


def test_work_that_runs_on_past_the_report_is_left_to_the_next() -> None:
    found = shared([capacity(3, gpus=1), capacity(4, gpus=1)], [busy("4000", 3)])
    assert (found.tenants["acme"].seconds, found.total.seconds, found.unplaced) == exact(3600, 3600, 0)


HOURS = st.integers(0, 3)
SECONDS = st.decimals(0, 3600, places=3)
CAPACITIES = st.lists(
    st.builds(
        lambda number, source, gpus, seconds, price: Capacity(source, hour(number), gpus, seconds, price),
        HOURS,
        st.sampled_from("ab"),
        st.integers(1, 8),
        SECONDS,
        st.decimals(0, 100, places=4),
    ),
    unique_by=lambda each: (each.source, each.hour),
)
WORK = st.lists(
    st.builds(
        lambda number, source, tenant, seconds: Busy(source, hour(number), tenant, seconds),
        HOURS,
        st.sampled_from("ab"),
        st.sampled_from(["acme", "zeta", "ypsilon"]),
        st.decimals(0, 5_000, places=6),
    )
)


@given(CAPACITIES, WORK)
def test_shares_and_idle_are_gpus_times_wall_time(capacities: list[Capacity], work: list[Busy]) -> None:
    found = shared(capacities, work)
    wall = sum((Fraction(each.seconds) * each.gpus for each in capacities), Fraction(0))
    assert sum((each.seconds for each in found.tenants.values()), found.idle.seconds) == found.total.seconds == wall
    assert sum((each.cost for each in found.tenants.values()), found.idle.cost) == found.total.cost
    assert found.idle.seconds >= 0


@given(CAPACITIES, WORK)
def test_all_work_is_in_a_row_or_told(capacities: list[Capacity], work: list[Busy]) -> None:
    alike = [Capacity(each.source, each.hour, 1, each.seconds, each.gpu_hour_price) for each in capacities]
    found = shared(alike, work)
    placed = sum((each.seconds for each in found.tenants.values()), Fraction(0))
    assert placed + found.unplaced == sum((Fraction(each.engine_seconds) for each in work), Fraction(0))


@given(CAPACITIES, WORK)
def test_the_rows_and_idle_of_a_report_add_up_to_its_total_to_the_last_digit(
    capacities: list[Capacity], work: list[Busy]
) -> None:
    found = report(shared(capacities, work))
    assert exact_sum([*(row.cost for row in found.rows), found.idle.cost]) == found.total.cost
    assert exact_sum([*(row.gpu_seconds for row in found.rows), found.idle.gpu_seconds]) == found.total.gpu_seconds
    assert min(found.idle.cost, found.idle.gpu_seconds) >= 0
