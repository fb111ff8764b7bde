"""Rows of a usage report, added up by what a page shows. Pure; money is added exactly."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

from kat.usage_event import Mode, Segment
from kat_metering.money import exact_sum
from kat_metering.usage import UsageRow

GENERATED: Final = (Segment.JUDGE, Segment.THINK, Segment.ANSWER, Segment.CONTROL)
"""What the model wrote."""
REASONING: Final = (Segment.JUDGE, Segment.THINK)

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Total:
    """What some rows used, taken together."""

    requests: int
    think_on: int
    """Requests that thought."""
    think_off: int
    """Requests that did not; those that were refused before that was decided are neither."""
    tokens: Mapping[Segment, int]
    cost: Decimal | None
    """None where nothing of it has a price."""
    unpriced_tokens: int

    @property
    def generated(self) -> int:
        return sum(self.tokens[segment] for segment in GENERATED)

    @property
    def reasoning(self) -> int:
        return sum(self.tokens[segment] for segment in REASONING)

    @property
    def all_tokens(self) -> int:
        return sum(self.tokens.values())


def total_of(rows: Iterable[UsageRow]) -> Total:
    """The sum of rows. Those that thought are known only where rows are grouped by mode."""
    some = list(rows)
    costs = [row.cost for row in some if row.cost is not None]
    return Total(
        requests=sum(row.requests for row in some),
        think_on=sum(row.requests for row in some if row.mode == Mode.ON),
        think_off=sum(row.requests for row in some if row.mode == Mode.OFF),
        tokens={segment: sum(row.tokens[segment] for row in some) for segment in Segment},
        cost=exact_sum(costs) if costs or not some else None,
        unpriced_tokens=sum(row.unpriced_tokens for row in some),
    )


def totals_by(rows: Sequence[UsageRow], key: Callable[[UsageRow], _Key]) -> dict[_Key, Total]:
    """Sums by a key of the rows, in the order in which the keys first come."""
    groups: dict[_Key, list[UsageRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return {name: total_of(some) for name, some in groups.items()}
