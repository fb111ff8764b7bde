"""A Prometheus that answers what a test told it to, over HTTP's real client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from kat_metering.boards.prometheus import Prometheus

Answer = Callable[[httpx.Request], httpx.Response]


@dataclass
class ToldPrometheus:
    """`series` by a word that the query holds: labels, and values from the window's first moment on."""

    series: dict[str, list[tuple[dict[str, str], Sequence[float]]]] = field(default_factory=dict)
    names: Sequence[str] = ()
    asked: list[str] = field(default_factory=list)

    def client(self) -> Prometheus:
        return prometheus_that(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/values"):
            return succeeded(list(self.names))
        query, start, step = (request.url.params[name] for name in ("query", "start", "step"))
        self.asked.append(query)
        result = [
            {
                "metric": labels,
                "values": [[float(start) + place * float(step), str(it)] for place, it in enumerate(values)],
            }
            for word, known in self.series.items()
            if word in query
            for labels, values in known
        ]
        return succeeded({"resultType": "matrix", "result": result})


def prometheus_that(answers: Answer, url: str = "http://prometheus.example") -> Prometheus:
    return Prometheus(httpx.Client(base_url=url, transport=httpx.MockTransport(answers)))


def succeeded(data: Any) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": data})
