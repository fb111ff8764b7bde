"""Charts draw what there is, and put names into the drawing as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from kat_metering.boards.charts import Course, Series, chart, colour, course_in_small
from kat_metering.boards.definitions import Panel, Step, Target

START = datetime(2026, 11, 25, 12, tzinfo=UTC)


def a_panel(*, stacked: bool = False, bars: bool = False, steps: tuple[Step, ...] = (Step(None, "green"),)) -> Panel:
    return Panel(
        kind="timeseries",
        title="Waiting",
        description="Requests that wait.",
        unit="short",
        units={},
        steps=steps,
        targets=(Target("prometheus", "x", ""),),
        stacked=stacked,
        bars=bars,
        course=False,
        most=None,
        wide=False,
    )


def a_course(*series: tuple[str, list[float | None]], apart: timedelta = timedelta(minutes=5)) -> Course:
    length = len(series[0][1])
    return Course(
        tuple(START + place * apart for place in range(length)),
        tuple(Series(name, tuple(values)) for name, values in series),
    )


def classes(drawing: str) -> list[str]:
    return [group.get("class", "") for group in ET.fromstring(drawing).iter("g")]


def texts(drawing: str) -> list[str | None]:
    return [text.text for text in ET.fromstring(drawing).iter("text")]


def test_a_series_has_a_line_in_its_colour_and_its_name() -> None:
    drawing = chart(a_panel(), a_course(("kat-0", [1, 2, 3]), ("think", [3, 2, 1])))
    assert {"series kind-0", "series kind-think"} <= set(classes(drawing))
    assert "<title>kat-0</title>" in drawing


def test_a_name_is_text_whatever_it_holds() -> None:
    drawing = chart(a_panel(), a_course(("<script>alert(1)</script>", [1, 2])))
    assert "<script" not in drawing


def test_what_is_drawn_needs_no_style_or_script_of_its_own() -> None:
    drawing = chart(a_panel(), a_course(("kat-0", [1, 2])))
    assert {element.tag for element in ET.fromstring(drawing).iter()} <= {"svg", "g", "path", "rect", "text", "title"}


def test_a_gap_is_a_gap() -> None:
    drawing = chart(a_panel(), a_course(("kat-0", [1, 2, None, 2, 1])))
    lines = [path for path in ET.fromstring(drawing).iter("path") if "reactive" in path.get("class", "")]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("values", "drawn"), [([1, 40], ["limit orange"]), ([1, 5], []), ([1, 200], ["limit orange", "limit red"])]
)
def test_thresholds_are_drawn_as_far_as_values_reach(values: list[float | None], drawn: list[str]) -> None:
    steps = (Step(None, "green"), Step(32, "orange"), Step(128, "red"))
    found = classes(chart(a_panel(steps=steps), a_course(("kat-0", values))))
    assert list(dict.fromkeys(name for name in found if name.startswith("limit"))) == drawn


def test_an_axis_begins_at_nothing_even_where_all_is_nothing() -> None:
    assert "0" in texts(chart(a_panel(), a_course(("kat-0", [0, 0, 0]))))


def test_areas_lie_on_one_another() -> None:
    drawing = chart(a_panel(stacked=True), a_course(("on", [2, 2]), ("off", [3, None])))
    assert "5" in texts(drawing)


def test_bars_have_their_days_below() -> None:
    course = a_course(("acme", [1, 2, 3]), apart=timedelta(days=1))
    days = Course(tuple(moment.replace(hour=0) for moment in course.moments), course.series)
    assert {"25 Nov", "26 Nov", "27 Nov"} <= set(texts(chart(a_panel(bars=True), days)))


@pytest.mark.parametrize(
    ("apart", "label"),
    [
        (timedelta(seconds=1), "12:00:00"),
        (timedelta(minutes=10), "12:00"),
        (timedelta(hours=6), "25 Nov 12:00"),
    ],
)
def test_times_are_as_exact_as_the_span_needs(apart: timedelta, label: str) -> None:
    assert label in texts(chart(a_panel(), a_course(("kat-0", [1.0] * 12), apart=apart)))


def test_labels_of_the_time_have_room() -> None:
    labels = [text for text in texts(chart(a_panel(), a_course(("kat-0", [1.0] * 180)))) if text and ":" in text]
    assert 2 <= len(labels) <= 7


def test_a_course_in_small_has_no_axes() -> None:
    assert texts(course_in_small("Waiting", Series("Waiting", (1, 2, None, 3)))) == []


def test_colours_come_again_after_the_last() -> None:
    assert colour(9, "kat-9") == colour(1, "kat-1")
