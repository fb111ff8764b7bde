"""Charts as SVG within the page, drawn by pygal and coloured by the console's own style sheet.

Drawn on the server: no script runs for them. What pygal would bring along (styles, scripts) is left out, since pages
allow neither inline; dark mode and print then colour charts as they colour everything else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

import pygal
from markupsafe import Markup

# For map plugins, which no chart of ours is, pygal puts a finder of a kind that Python warns of at every later import.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

_SVG: Final = "{http://www.w3.org/2000/svg}"
_KEPT: Final = {"g", "rect", "path", "text", "circle", "line"}
"""The elements that draw. Left out: comments, styles, scripts, and texts for them."""
_HEIGHT: Final = 240
HALF_WIDTH: Final = 540
FULL_WIDTH: Final = 1_120
"""In pixels at which text has its natural size: half of a page, or all of it."""
_LABEL_WIDTH: Final = 56


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of thing over the chart's labels."""

    name: str
    kind: str
    """Decides the colour: the style sheet knows `kind-think`, `kind-on`, `kind-0`..."""
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart, and what its legend lists."""

    title: str
    svg: Markup
    series: Sequence[Series]


def stacked_bars(
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    write: Callable[[float], str],
    description: str,
    width: int = HALF_WIDTH,
) -> Chart:
    """Bars over time, one a label, each stacked from all series.

    Args:
        title: Names the chart.
        labels: Under the bars, such as days.
        series: From bottom to top.
        write: A value in words, on the axis and where a bar is pointed at.
        description: What is to be seen, for those who cannot see it.
        width: In pixels, while there is room for so many.
    """
    chart = pygal.StackedBar(
        css=[],
        js=[],
        width=width,
        height=_HEIGHT,
        margin=4,
        spacing=0,
        show_legend=False,
        no_prefix=True,
        value_formatter=lambda value: write(float(value)),
        max_scale=5,
        x_labels=list(labels),
        x_labels_major_every=max(1, -(-len(labels) * _LABEL_WIDTH // width)),
        show_minor_x_labels=False,
        truncate_label=-1,
    )
    # Names are other people's text: they go into the finished drawing, as text.
    for place, each in enumerate(series):
        chart.add(str(place), list(each.values))
    # Parsed anew, because the tree itself is of one library or of another, by what is installed.
    root = ET.fromstring(chart.render())  # noqa: S314 - drawn a line above
    _dress(root, labels, series, write, description)
    return Chart(title, Markup(ET.tostring(root, encoding="unicode")), series)  # noqa: S704 - a tree, serialised by ET


def _dress(
    root: ET.Element, labels: Sequence[str], series: Sequence[Series], write: Callable[[float], str], description: str
) -> None:
    for parent in list(root.iter()):
        parent.tag = parent.tag.removeprefix(_SVG)
        for child in list(parent):
            if child.tag.removeprefix(_SVG) not in _KEPT:
                parent.remove(child)
        parent.attrib.pop("style", None)
    root.set("role", "img")
    root.set("aria-label", description)
    root.attrib.pop("id", None)
    for group in root.iter():
        classes = group.get("class", "").split()
        if "series" not in classes:
            continue
        place = next(int(name.removeprefix("serie-")) for name in classes if name.startswith("serie-"))
        each = series[place]
        group.set("class", f"series kind-{each.kind}")
        bars = [bar for bar in group.iter() if bar.get("class", "").split()[:1] == ["bar"]]
        for bar, label, value in zip(bars, labels, each.values, strict=False):
            ET.SubElement(bar, "title").text = f"{label} · {each.name}: {write(value)}"
