"""What the GPUs cost, by tenant: shares of busy time, and idle time as a line of its own.

A request's `engine_seconds` is its share of its replica's busy time, so over an hour Σ shares + idle = GPUs x wall time,
exactly, whatever ran side by side. Usage belongs to the hour in which a request began; what an hour cannot have held
ran on into the next.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from kat.usage_event import Name
from kat_metering.money import MONEY_PLACES, Money, difference, exact_sum, to_decimal
from kat_metering.prices import WholeHour

SECONDS_PER_HOUR: Final = 3600
LEAD: Final = timedelta(days=1)
"""How long before a report's first hour usage is looked at, for what ran on into it."""
HOUR: Final = timedelta(hours=1)

_SECONDS_PLACES: Final = 9

GpuHourPrice = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=9, allow_inf_nan=False)]


class ReplicaHour(BaseModel):
    """How long a replica held its GPUs in an hour."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Name
    """The predictor instance, as its usage events name it."""
    hour: WholeHour
    gpus: Annotated[int, Field(gt=0, le=10_000)]
    seconds: Annotated[Decimal, Field(ge=0, le=SECONDS_PER_HOUR, decimal_places=6, allow_inf_nan=False)] = Decimal(3600)
    gpu_hour_price: GpuHourPrice | None = None
    """Of one GPU. None: the configured one."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """GPU time of a replica in an hour, with its price."""

    source: str
    hour: datetime
    gpus: int
    seconds: Decimal
    gpu_hour_price: Decimal


@dataclass(frozen=True, slots=True)
class Busy:
    """A tenant's share of the busy time of a replica, by the hour in which its requests began."""

    source: str
    hour: datetime
    tenant: str
    engine_seconds: Decimal


@dataclass(slots=True)
class GpuTime:
    """GPU-seconds and their cost."""

    seconds: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)

    def add(self, seconds: Fraction, capacity: Capacity) -> None:
        """Seconds of a replica's wall time."""
        self.seconds += seconds * capacity.gpus
        self.cost += seconds * capacity.gpus * Fraction(capacity.gpu_hour_price) / SECONDS_PER_HOUR


@dataclass(slots=True)
class Shares:
    """The GPU time of some hours. Σ tenants + idle = total, exactly."""

    tenants: dict[str, GpuTime] = field(default_factory=lambda: defaultdict(GpuTime))
    idle: GpuTime = field(default_factory=GpuTime)
    total: GpuTime = field(default_factory=GpuTime)
    unplaced: Fraction = Fraction(0)
    """Engine seconds of hours in which no replica is recorded that could have held them."""


def share_out(capacity: Iterable[Capacity], busy: Iterable[Busy], *, start: datetime, end: datetime) -> Shares:
    """Share the GPU time of the hours from `start` to `end` (exclusive); others matter only for what runs on."""
    shares = Shares()
    places = {(each.source, each.hour): each for each in capacity}
    work: dict[tuple[str, datetime], dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for each in busy:
        work[each.source, each.hour][each.tenant] += Fraction(each.engine_seconds)
    # In order of time: what runs on is there before its hour is shared out.
    for source, hour in sorted({*places, *work}, key=lambda key: (key[1], key[0])):
        place, asked, counted = places.get((source, hour)), work[source, hour], start <= hour < end
        rest = asked if place is None else _fill(shares, place, asked, counted=counted)
        if place is not None and (source, hour + HOUR) in places:
            for tenant, seconds in rest.items():
                work[source, hour + HOUR][tenant] += seconds
        elif counted:
            shares.unplaced += sum(rest.values(), Fraction(0))
    return shares


def _fill(shares: Shares, place: Capacity, asked: Mapping[str, Fraction], *, counted: bool) -> dict[str, Fraction]:
    """Share out one hour; what it cannot have held is left, in proportion."""
    wall, wanted = Fraction(place.seconds), sum(asked.values(), Fraction(0))
    part = min(Fraction(1), wall / wanted) if wanted else Fraction(1)
    if counted:
        for tenant, seconds in asked.items():
            shares.tenants[tenant].add(seconds * part, place)
        shares.idle.add(wall - wanted * part, place)
        shares.total.add(wall, place)
    return {tenant: seconds * (1 - part) for tenant, seconds in asked.items()}


class GpuCostRow(BaseModel):
    """GPU time of a tenant, or idle, or all of it."""

    model_config = ConfigDict(frozen=True)

    gpu_seconds: Money
    cost: Money
    share: float | None
    """Of all GPU time; None where there is none."""


class TenantGpuCost(GpuCostRow):
    """A tenant's share."""

    tenant: str


class GpuCostReport(BaseModel):
    """The cost of GPUs in a window. The rows and idle add up to the total, to the last digit."""

    model_config = ConfigDict(frozen=True)

    start: Annotated[datetime, Field(serialization_alias="from")]
    end: Annotated[datetime, Field(serialization_alias="to")]
    """Exclusive."""
    currency: str
    rows: list[TenantGpuCost]
    idle: GpuCostRow
    total: GpuCostRow
    replica_hours: int
    unplaced_engine_seconds: Money
    """Busy time in hours for which no GPU time is recorded: it is in no row."""
    assumptions: list[str]


ASSUMPTIONS: Final = [
    "A request holds its share of the replica's busy time (engine_seconds) on all of the replica's GPUs.",
    "Usage counts in the hour in which its request began; what that hour cannot have held runs on into the next.",
    "Idle time is charged to nobody here: it is what the GPUs cost beyond their use.",
]


def gpu_cost_report(
    shares: Shares, *, start: datetime, end: datetime, currency: str, replica_hours: int
) -> GpuCostReport:
    """Shares as exact decimals. Rows are rounded down, idle takes the rest, so that nothing is lost."""
    total_seconds = to_decimal(shares.total.seconds, _SECONDS_PLACES)
    total_cost = to_decimal(shares.total.cost)
    tenants = {
        name: (_down(each.seconds, _SECONDS_PLACES), _down(each.cost, MONEY_PLACES))
        for name, each in sorted(shares.tenants.items())
    }
    idle_seconds = difference(total_seconds, exact_sum(seconds for seconds, _ in tenants.values()))
    idle_cost = difference(total_cost, exact_sum(cost for _, cost in tenants.values()))

    def share(seconds: Decimal) -> float | None:
        return float(seconds / total_seconds) if total_seconds else None

    return GpuCostReport(
        start=start,
        end=end,
        currency=currency,
        rows=[
            TenantGpuCost(tenant=name, gpu_seconds=seconds, cost=cost, share=share(seconds))
            for name, (seconds, cost) in tenants.items()
        ],
        idle=GpuCostRow(gpu_seconds=idle_seconds, cost=idle_cost, share=share(idle_seconds)),
        total=GpuCostRow(gpu_seconds=total_seconds, cost=total_cost, share=share(total_seconds)),
        replica_hours=replica_hours,
        unplaced_engine_seconds=to_decimal(shares.unplaced, _SECONDS_PLACES),
        assumptions=ASSUMPTIONS,
    )


def _down(value: Fraction, places: int) -> Decimal:
    return Decimal(math.floor(value * 10**places)).scaleb(-places)
