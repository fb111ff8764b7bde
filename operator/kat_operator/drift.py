"""Whether an object is as it was meant to be. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from kubernetes.utils.quantity import parse_quantity

from kat_operator.kinds import Key, Kind, key_of, kind_of

_NOT_COMPARED: Final = frozenset({"apiVersion", "kind"})
"""Items of a list come without them."""


def drift(desired: Mapping[str, Any], live: Mapping[str, Any]) -> frozenset[str]:
    """Paths at which `live` is not what `desired` says. What `desired` does not mention may be anything.

    Lists whose items have names are compared name by name, others place by place. Quantities are compared by value,
    since the API server writes them its own way.
    """
    found: set[str] = set()
    for name, value in desired.items():
        if name not in _NOT_COMPARED:
            _compare(value, live.get(name), name, found)
    return frozenset(found)


def _compare(desired: Any, live: Any, path: str, found: set[str]) -> None:
    if isinstance(desired, Mapping):
        if not isinstance(live, Mapping):
            # The API server drops what is empty.
            if desired or live is not None:
                found.add(path)
            return
        for name, value in desired.items():
            _compare(value, live.get(name), f"{path}.{name}", found)
    elif isinstance(desired, Sequence) and not isinstance(desired, str):
        _compare_lists(desired, live, path, found)
    elif not _same(desired, live):
        found.add(path)


def _compare_lists(desired: Sequence[Any], live: Any, path: str, found: set[str]) -> None:
    if not isinstance(live, Sequence) or isinstance(live, str):
        if desired or live is not None:
            found.add(path)
        return
    if desired and all(isinstance(item, Mapping) and "name" in item for item in desired):
        named = {item.get("name"): item for item in live if isinstance(item, Mapping)}
        for item in desired:
            _compare(item, named.get(item["name"]), f"{path}[{item['name']}]", found)
        return
    if len(desired) != len(live):
        found.add(path)
        return
    for number, (item, other) in enumerate(zip(desired, live, strict=True)):
        _compare(item, other, f"{path}[{number}]", found)


def _same(desired: Any, live: Any) -> bool:
    if isinstance(desired, bool) or isinstance(live, bool):
        return desired is live
    if desired == live:
        return True
    first, second = _quantity(desired), _quantity(live)
    return first is not None and first == second


def _quantity(value: Any) -> Decimal | None:
    if not isinstance(value, str | int | float):
        return None
    try:
        return Decimal(parse_quantity(value))
    except (ValueError, ArithmeticError):
        return None


@dataclass(slots=True)
class _Record:
    desired: Mapping[str, Any]
    tolerated: frozenset[str]
    """Where the API server's answer differed from what was applied: somebody's webhook insists on it."""
    clean_version: str
    """Resource version at which the object was found to be right."""


@dataclass(slots=True)
class Applied:
    """What was applied so far, so that nothing is written that is there already.

    Each object is applied once after the operator's start, whatever is there: that takes fields away that an earlier
    version of the operator set and this one does not.
    """

    _records: dict[tuple[Kind, Key], _Record] = field(default_factory=dict)

    def wanting(self, desired: Mapping[str, Any], live: Mapping[str, Any] | None) -> bool:
        """Whether the object has to be applied."""
        record = self._records.get((kind_of(desired), key_of(desired)))
        if live is None or record is None:
            return True
        if record.desired is not desired:
            if record.desired != desired:
                return True
            record.desired = desired
        version = live["metadata"]["resourceVersion"]
        if record.clean_version == version:
            return False
        if drift(desired, live) - record.tolerated:
            return True
        record.clean_version = version
        return False

    def record(self, desired: Mapping[str, Any], answer: Mapping[str, Any]) -> frozenset[str]:
        """Remember an apply and its answer. Gives the paths at which the answer is not what was asked for."""
        tolerated = drift(desired, answer)
        version = answer["metadata"]["resourceVersion"]
        self._records[kind_of(desired), key_of(desired)] = _Record(desired, tolerated, version)
        return tolerated

    def forget(self, kind: Kind, key: Key) -> None:
        """The object is deleted."""
        self._records.pop((kind, key), None)

    def forget_all(self, service: Key) -> None:
        """A service is deleted, and its objects follow. They bear its name, alone or as the first part of theirs."""
        for kind, key in list(self._records):
            if key.namespace == service.namespace and (
                key.name == service.name or key.name.startswith(f"{service.name}-")
            ):
                del self._records[kind, key]
