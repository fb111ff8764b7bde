"""Charts of a page: series over the same moments, as lines, as areas on one another, or as bars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from xml.etree import ElementTree as ET

import pygal
from markupsafe import Markup

from kat_metering.boards.definitions import Panel
from kat_metering.boards.units import written
from kat_metering.plain_svg import plain_svg, series_in

_HEIGHT: Final = 210
_HALF_WIDTH: Final = 560
_FULL_WIDTH: Final = 1_140
"""In pixels at which text has its natural size: half of a page, or all of it."""
_LABEL_WIDTH: Final = 84
_TINY: Final = (160, 28)
_COLOURS: Final = 8
_NAMED: Final = frozenset({"prompt", "prompt_cached", "judge", "think", "answer", "control", "on", "off", "undecided"})
"""Modes and segments have the same colour on every panel."""
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Series:
    """One line: a value for each of the chart's moments, None where there is none."""

    name: str
    values: tuple[float | None, ...]

    @property
    def latest(self) -> float | None:
        return next((value for value in reversed(self.values) if value is not None), None)


@dataclass(frozen=True, slots=True)
class Course:
    """What a chart draws."""

    moments: tuple[datetime, ...]
    series: tuple[Series, ...]


def colour(place: int, name: str) -> str:
    """The style sheet's class for a series."""
    return f"kind-{name}" if name in _NAMED else f"kind-{place % _COLOURS}"


def chart(panel: Panel, course: Course) -> Markup:
    """The panel's chart. Thresholds that lie within what is drawn are drawn too, where the panel has lines."""
    width = _FULL_WIDTH if panel.wide else _HALF_WIDTH
    every = max(1, -(-len(course.moments) * _LABEL_WIDTH // width))
    labels = _labels(course.moments, every)
    lines = [
        Series(series.name, tuple(value or 0.0 for value in series.values)) if panel.stacked else series
        for series in course.series
    ]
    top = panel.most or _top(lines, stacked=panel.stacked)
    drawing = _kind(panel)(
        css=[],
        js=[],
        width=width,
        height=_HEIGHT,
        margin=4,
        spacing=0,
        show_legend=False,
        no_prefix=True,
        show_dots=len(course.moments) == 1,
        fill=panel.stacked,
        allow_interruptions=True,
        value_formatter=lambda value: written(float(value), panel.unit),
        range=(0, top),
        max_scale=5,
        x_labels=labels,
        x_labels_major_every=every,
        show_minor_x_labels=False,
        truncate_label=-1,
    )
    for place, series in enumerate(lines):
        # Names are other people's text: they go into the finished drawing, as text.
        drawing.add(str(place), list(series.values))
    limits = [] if panel.stacked or panel.bars else [step for step in panel.steps if step.value and step.value <= top]
    for step in limits:
        drawing.add(step.colour, [step.value] * len(labels))
    kinds = [f"series {colour(place, series.name)}" for place, series in enumerate(lines)]
    names = [series.name for series in lines]
    root = plain_svg(drawing, f"{panel.title}: {', '.join(names)}")
    _dress(
        root,
        [*kinds, *(f"limit {step.colour}" for step in limits)],
        [*names, *(written(step.value or 0, panel.unit) for step in limits)],
    )
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - a tree, serialised by ET


def course_in_small(title: str, series: Series) -> Markup:
    """A number's course, without axes."""
    width, height = _TINY
    drawing = pygal.Line(
        css=[],
        js=[],
        width=width,
        height=height,
        margin=1,
        spacing=0,
        show_legend=False,
        no_prefix=True,
        show_dots=False,
        show_x_labels=False,
        show_y_labels=False,
        show_x_guides=False,
        show_y_guides=False,
        allow_interruptions=True,
        range=(0, _top([series], stacked=False)),
    )
    drawing.add("0", list(series.values))
    root = plain_svg(drawing, f"{title}, over time")
    _dress(root, ["series kind-0"], [title])
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - as above


def _kind(panel: Panel) -> Any:
    if panel.bars:
        return pygal.StackedBar if panel.stacked else pygal.Bar
    return pygal.StackedLine if panel.stacked else pygal.Line


def _top(series: Sequence[Series], *, stacked: bool) -> float:
    """The top of the axis; 1 where all is zero, so that there is an axis."""
    if stacked:
        highest = max(sum(value or 0.0 for value in at) for at in zip(*(each.values for each in series), strict=True))
    else:
        highest = max(value for each in series for value in each.values if value is not None)
    return highest if highest > 0 else 1.0


def _labels(moments: Sequence[datetime], every: int) -> list[str]:
    """Every so many moments in words. pygal shows a label wherever it comes again: the others are their own places."""
    return [
        moment.astimezone(UTC).strftime(_form(moments)) if place % every == 0 else str(place)
        for place, moment in enumerate(moments)
    ]


def _form(moments: Sequence[datetime]) -> str:
    if not any(moment.hour or moment.minute for moment in moments):
        return "%d %b"
    if moments[-1] - moments[0] > _DAY:
        return "%d %b %H:%M"
    return "%H:%M" if moments[-1] - moments[0] >= _HOUR else "%H:%M:%S"


def _dress(root: ET.Element, classes: Sequence[str], names: Sequence[str]) -> None:
    for place, groups in series_in(root).items():
        for group in groups:
            group.set("class", classes[place])
            ET.SubElement(group, "title").text = names[place]
    for path in root.iter("path"):
        # Tenths of a pixel are as fine as anybody sees, and a third of the length.
        path.set("d", re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.1f}", path.get("d", "")))
