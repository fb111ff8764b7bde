"""What a run logs while it trains: JSON lines, and their plot."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson
import pygal

# For map plugins, which no chart of ours is, pygal puts a finder of a kind that Python warns of at every later import.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

CURVE: Final = "curve.jsonl"
PLOT: Final = "curve.svg"

Point = Mapping[str, float]
"""Figures by name, `step` among them."""


def write_curve(folder: Path, points: Sequence[Point]) -> None:
    """Write the points of a run so far: a run that was interrupted has those of its checkpoint, and no step twice."""
    unfinished = folder / f".{CURVE}.unfinished"
    unfinished.write_bytes(b"".join(orjson.dumps(dict(point), option=orjson.OPT_APPEND_NEWLINE) for point in points))
    unfinished.rename(folder / CURVE)


def read_curve(folder: Path) -> list[dict[str, float]]:
    """The points of a run."""
    return [orjson.loads(line) for line in (folder / CURVE).read_bytes().splitlines()]


def plot(folder: Path, figures: Sequence[str], *, title: str) -> Path:
    """Draw some figures over the steps, each a line; points without a figure are left out of its line."""
    points = read_curve(folder)
    chart = pygal.XY(
        title=title, x_title="step", legend_at_bottom=True, show_dots=False, js=[], no_prefix=True, height=420
    )
    for name in figures:
        chart.add(name.replace("_", " "), [(point["step"], point[name]) for point in points if name in point])
    path = folder / PLOT
    path.write_bytes(chart.render())
    return path
