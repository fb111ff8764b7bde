"""Charts bring nothing along that a page's policy forbids, and hold only text where text belongs."""

from xml.etree import ElementTree as ET

import pytest

from kat_metering.console.charts import FULL_WIDTH, Chart, Series, stacked_bars

EVIL = "</title><script>alert(1)</script>"


def drawn(*series: Series, labels: tuple[str, ...] = ("11-01", "11-02")) -> Chart:
    return stacked_bars("Tokens", labels, series, write=lambda value: f"{value:g} tokens", description="What it shows")


def test_every_bar_says_its_value() -> None:
    """Pointing at a bar tells label, series and value."""
    root = ET.fromstring(drawn(Series("Think", "think", [3, 4]), Series("Answer", "answer", [1, 0])).svg)
    assert [title.text for title in root.iter("title")] == [
        "11-01 · Think: 3 tokens",
        "11-02 · Think: 4 tokens",
        "11-01 · Answer: 1 tokens",
        "11-02 · Answer: 0 tokens",
    ]


def test_series_are_coloured_by_kind() -> None:
    """The style sheet decides how `kind-think` looks, in the light and in the dark."""
    root = ET.fromstring(drawn(Series("Think", "think", [3, 4])).svg)
    assert "series kind-think" in {group.get("class") for group in root.iter("g")}


def test_nothing_inline_is_left_of_the_drawing() -> None:
    """Neither styles nor scripts, which the page's policy would refuse."""
    root = ET.fromstring(drawn(Series("Think", "think", [3, 4])).svg)
    assert {element.tag for element in root.iter()} <= {"svg", "g", "rect", "path", "text", "title"}
    assert [element.attrib for element in root.iter() if {"style", "onclick"} & set(element.attrib)] == []


def test_the_chart_has_a_description() -> None:
    """Who cannot see it hears what it shows."""
    root = ET.fromstring(drawn(Series("Think", "think", [3, 4])).svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", "What it shows")


@pytest.mark.parametrize("name", [EVIL, "a\x01b", "<b>&amp;"])
def test_names_are_text(name: str) -> None:
    """Names of projects and models are other people's text."""
    svg = drawn(Series(name, "0", [3, 4])).svg
    assert "<script" not in svg
    assert "<b>" not in svg


@pytest.mark.parametrize("days", [1, 31, 400])
def test_labels_stay_apart(days: int) -> None:
    """There are no more labels below the bars than fit."""
    labels = tuple(f"{day}" for day in range(days))
    chart = stacked_bars("T", labels, [Series("A", "0", [1] * days)], write=str, description="D", width=FULL_WIDTH)
    axis = next(group for group in ET.fromstring(chart.svg).iter("g") if group.get("class") == "axis x")
    shown = [each for each in axis.iter("text") if "major" in each.get("class", "").split()]
    assert 1 <= len(shown) <= 20
