"""The console's charts: SVG within the page, drawn by pygal and coloured by the console's own style sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

import pygal
from markupsafe import Markup

from kat_metering.plain_svg import plain_svg, series_in

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
    root = plain_svg(chart, description)
    for place, groups in series_in(root).items():
        for group in groups:
            _dress(group, labels, series[place], write)
    return Chart(title, Markup(ET.tostring(root, encoding="unicode")), series)  # noqa: S704 - a tree, serialised by ET


def _dress(group: ET.Element, labels: Sequence[str], series: Series, write: Callable[[float], str]) -> None:
    group.set("class", f"series kind-{series.kind}")
    bars = [bar for bar in group.iter() if bar.get("class", "").split()[:1] == ["bar"]]
    for bar, label, value in zip(bars, labels, series.values, strict=False):
        ET.SubElement(bar, "title").text = f"{label} · {series.name}: {write(value)}"
