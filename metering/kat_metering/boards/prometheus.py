"""What a Prometheus tells over its HTTP API."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from kat_metering.boards.window import Window
from kat_metering.errors import ReportSourceError

_METRIC: Final = re.compile(r"\b(?:[a-z_]+:)?kat_[a-z_]+(?::\w+)?|\b\w+:\w+:\w+")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Found:
    """One series: its labels, and a value for each of the window's moments, None where it has none."""

    labels: Mapping[str, str]
    values: tuple[float | None, ...]


class Prometheus:
    """One of them, behind `client`. Every method raises ReportSourceError where it does not answer."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @property
    def address(self) -> str:
        """Where it is, for people: without a user's name and password."""
        return str(self._client.base_url.copy_with(userinfo=b"")).rstrip("/")

    def course(self, query: str, window: Window) -> list[Found]:
        """Series with at least one value. What is no number, or infinite, is no value."""
        answer = self._get(
            "query_range",
            {
                "query": query,
                "start": window.start.timestamp(),
                "end": window.end.timestamp(),
                "step": window.step.total_seconds(),
            },
        )
        found = []
        for series in answer["result"]:
            values: list[float | None] = [None] * len(window.moments)
            for at, text in series["values"]:
                value = float(text)
                values[window.place(at)] = value if math.isfinite(value) else None
            if any(value is not None for value in values):
                found.append(Found(series["metric"], tuple(values)))
        return sorted(found, key=lambda series: sorted(series.labels.items()))

    def names(self, window: Window) -> frozenset[str]:
        """The names of all series that had a sample within the window."""
        times = {"start": window.start.timestamp(), "end": window.end.timestamp()}
        return frozenset(self._get("label/__name__/values", times))

    def _get(self, path: str, params: Mapping[str, str | float]) -> Any:
        try:
            answer = self._client.get(f"/api/v1/{path}", params=params)
            told = answer.json()
            if answer.is_success and told["status"] == "success":
                return told["data"]
            said = told["error"]
        except httpx.HTTPError as error:
            raise ReportSourceError(
                f"no answer from Prometheus at {self.address}: {str(error) or repr(error)}"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ReportSourceError(f"{self.address} does not answer as Prometheus does") from error
        raise ReportSourceError(f"Prometheus at {self.address} refuses a query: {said}")


def metrics_in(queries: Iterable[str]) -> frozenset[str]:
    """The names of the metrics that queries ask for."""
    return frozenset(name for query in queries for name in _METRIC.findall(_STRING.sub("", query)))
