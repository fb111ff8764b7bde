"""Replicas over time, as a line of bars in the terminal and as an SVG file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pygal

from kat_operator.simulation.run import Run
from kat_operator.simulation.trace import Floats, Trace

# For map plugins, which no chart of ours is, pygal puts a finder of a kind that Python warns of at every later import.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

_BARS: Final = " ▁▂▃▄▅▆▇█"
_POINTS: Final = 240
"""Of a line in the SVG: more than a screen's width tells apart are of no use."""
_MINUTE: Final = 60.0


def bars(values: Sequence[float] | Floats, highest: float | None = None) -> str:
    """One character a value, as high as its share of the highest."""
    top = max(values, default=0.0) if highest is None else highest
    if top <= 0:
        return _BARS[0] * len(values)
    levels = len(_BARS) - 1
    return "".join(_BARS[min(levels, max(0, int(np.ceil(value / top * levels))))] for value in values)


def sampled(steps: Sequence[tuple[float, int]], start: float, end: float, points: int) -> Floats:
    """The largest value of a step function in each of so many equal parts of the time.

    Args:
        steps: When the value changed, and to what; ascending, the first at or before `start`.
        start: Seconds.
        end: Seconds.
        points: How many.
    """
    edges = np.linspace(start, end, points + 1)
    times = np.array([at for at, _ in steps])
    values = np.array([value for _, value in steps], dtype=np.float64)
    highest: Floats = values[np.maximum(np.searchsorted(times, edges[:-1], side="right") - 1, 0)]
    for at, value in steps:
        part = int(np.searchsorted(edges, at, side="right")) - 1
        if 0 <= part < points:
            highest[part] = max(highest[part], value)
    return highest


def requests_per_second(trace: Trace, points: int) -> Floats:
    """Of the scored time, in so many equal parts of it."""
    edges = np.linspace(trace.warmup_seconds, trace.seconds, points + 1)
    counts, _ = np.histogram(trace.at, edges)
    rates: Floats = counts / (edges[1] - edges[0])
    return rates


def write_svg(path: Path, runs: Sequence[Run]) -> None:
    """Replicas asked for by each law, and the requests that they were for, over the scored minutes."""
    trace = runs[0].trace
    start, end = trace.warmup_seconds, trace.seconds
    minutes = np.linspace(0.0, (end - start) / _MINUTE, _POINTS, endpoint=False)
    chart = pygal.XY(
        title=trace.name,
        x_title="minutes",
        y_title="replicas",
        secondary_range=(0, float(requests_per_second(trace, _POINTS).max()) or 1.0),
        show_dots=False,
        js=(),
        disable_xml_declaration=True,
    )
    for run in runs:
        chart.add(
            run.law, list(zip(minutes.tolist(), sampled(run.replicas, start, end, _POINTS).tolist(), strict=True))
        )
    rate = requests_per_second(trace, _POINTS)
    chart.add("requests/s", list(zip(minutes.tolist(), rate.tolist(), strict=True)), secondary=True)
    path.write_text(chart.render(is_unicode=True), encoding="utf-8")
