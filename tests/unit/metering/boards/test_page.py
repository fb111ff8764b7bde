"""The page is one file, says everything that the dashboards say, and takes nobody's text for its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from kat_metering.boards.definitions import Step, boards
from kat_metering.boards.filling import Sources, filled
from kat_metering.boards.page import Origin, page, state
from kat_metering.boards.window import Window
from tests.fakes.told_prometheus import ToldPrometheus

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
WINDOW = Window.until(NOW, timedelta(hours=1), scrape_interval=timedelta(minutes=10))
LABELS = {"pod": "kat-0", "namespace": "default", "status": "ok", "model": "<b>KAT</b>", "mode": "on"}


BOARDS = {board.uid: board for board in boards()}


def a_page(*uids: str, told: ToldPrometheus | None = None, **chosen: list[str]) -> str:
    sources = Sources(prometheus=None if told is None else told.client())
    made = [filled(BOARDS[uid], sources, chosen, WINDOW) for uid in uids or BOARDS]
    return page(made, Origin(made_at=NOW, prometheus="http://p.example", postgres=False, chosen=chosen))


@pytest.fixture(scope="module")
def full() -> str:
    return a_page("kat-serving", told=ToldPrometheus(series={"kat_": [(LABELS, [1, 2, 3])]}))


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(text)
    return parser.found


def test_nothing_is_fetched_and_nothing_runs(full: str) -> None:
    found = elements(full)
    assert not {tag for tag, _ in found} & {"script", "link", "img", "iframe", "object", "embed"}
    assert {str(attributes[name])[0] for _, attributes in found for name in ("href", "src") if name in attributes} == {
        "#"
    }
    assert "url(" not in full


def test_other_peoples_text_stays_text(full: str) -> None:
    assert "<b>KAT</b>" not in full
    assert "&lt;b&gt;KAT&lt;/b&gt;" in full


def test_every_panel_is_there() -> None:
    text = a_page()
    titles = [panel.title for board in BOARDS.values() for section in board.sections for panel in section.panels]
    assert [title for title in titles if "$" not in title and f"<h4>{title}</h4>" not in text] == []


def test_a_panel_says_what_it_shows_and_what_is_bad(full: str) -> None:
    assert "By replica: kat_requests_queued. KAT_MAX_QUEUED_REQUESTS is the most; more are refused." in full
    assert "From 32 a warning; from 128 bad." in full


def test_a_panel_without_data_says_why() -> None:
    assert "<b>No data</b>: no Prometheus was named." in a_page()


def test_what_was_chosen_is_on_the_page() -> None:
    assert "Model: a, b." in a_page(model=["a", "b"], namespace=[])


def test_addresses_lead_to_each_board() -> None:
    found = elements(a_page())
    places = {f"#{attributes['id']}" for tag, attributes in found if tag == "section"}
    assert places == {attributes["href"] for tag, attributes in found if tag == "a"} == {f"#{uid}" for uid in BOARDS}


@pytest.mark.parametrize(("value", "colour"), [(0, "green"), (0.8, "orange"), (5, "red")])
def test_a_number_has_the_colour_of_the_threshold_that_it_has_reached(value: float, colour: str) -> None:
    assert state(value, (Step(None, "green"), Step(0.8, "orange"), Step(1, "red"))) == colour


def test_a_number_that_is_never_bad_has_no_colour() -> None:
    assert state(3, (Step(None, "green"),)) == "calm"
