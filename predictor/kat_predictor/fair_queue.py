"""Fair queueing between tenants, first come first served inside one. Pure.

After Start-time Fair Queueing (P. Goyal, H. Vin, H. Cheng, SIGCOMM 1996): the tenant with the smallest tag goes next,
and its tag advances by the cost of what was served, divided by the tenant's weight; a tenant that begins to wait starts
at the virtual time, the tag served last. So tenants that wait share the replica by tokens, in proportion to their
weights, however many requests each of them sends.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A request that waits. `cost` is in tokens, `weight` its tenant's when it came."""

    tenant: str
    cost: int
    weight: float
    order: int


class FairQueue:
    """Who goes next."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Entry]] = {}
        self._tags: dict[str, float] = {}
        self._virtual_time = 0.0
        self._order = count()
        self._length = 0
        self.tokens = 0
        """Cost of all that wait, in tokens."""

    def __len__(self) -> int:
        return self._length

    def push(self, tenant: str, cost: int, weight: float = 1.0) -> Entry:
        """Queue a request behind its tenant's others."""
        entry = Entry(tenant, cost, weight, next(self._order))
        entries = self._waiting.get(tenant)
        if entries is None:
            entries = self._waiting[tenant] = deque()
            self._tags[tenant] = max(self._virtual_time, self._tags.get(tenant, 0.0))
        entries.append(entry)
        self._length += 1
        self.tokens += cost
        return entry

    def pop(self) -> Entry:
        """Take the request that goes next. Raises LookupError when none waits."""
        if not self._waiting:
            raise LookupError("nothing waits")
        # Tenants that wait are few (the queue is bounded), so a scan is cheaper than keeping a heap in order.
        tenant = min(self._waiting, key=lambda name: (self._tags[name], self._waiting[name][0].order))
        entry = self._waiting[tenant][0]
        self._virtual_time = self._tags[tenant]
        self._tags[tenant] += entry.cost / entry.weight
        self.remove(entry)
        return entry

    def remove(self, entry: Entry) -> None:
        """A request leaves. Tags advance with what is served only, so that this one leaves no trace."""
        entries = self._waiting[entry.tenant]
        entries.remove(entry)
        self._length -= 1
        self.tokens -= entry.cost
        if not entries:
            del self._waiting[entry.tenant]
        if not self._waiting:
            # With nobody waiting there is nobody to be unfair to: what was served before is forgotten.
            self._tags.clear()
            self._virtual_time = 0.0
