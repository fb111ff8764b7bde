"""What readers choose goes into queries as values, whatever it is made of."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from kat_metering.boards.choice import promql, sql, words
from kat_metering.boards.definitions import Variable
from kat_metering.boards.window import Window

WINDOW = Window.until(datetime(2026, 11, 25, 12, tzinfo=UTC), timedelta(hours=1), scrape_interval=timedelta(seconds=15))
MODEL = Variable("model", "prometheus", "label_values(kat_requests_in_flight, model)", several=True, everything=".*")
SELECTOR = 'kat_requests_total{model=~"$model"}'
ANY_NAME = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)


def test_what_is_not_chosen_is_everything() -> None:
    assert promql(SELECTOR, [MODEL], {}, WINDOW) == 'kat_requests_total{model=~".*"}'


def test_several_names_are_alternatives() -> None:
    assert promql(SELECTOR, [MODEL], {"model": ["a", "b"]}, WINDOW) == 'kat_requests_total{model=~"a|b"}'


def test_a_rate_is_over_four_scrapes_at_least() -> None:
    assert promql("rate(x[$__rate_interval])", [], {}, WINDOW) == "rate(x[60000ms])"


def test_a_variable_is_a_whole_word() -> None:
    assert promql("$model $models", [MODEL], {"model": ["a"]}, WINDOW) == "a $models"


@settings(max_examples=50)
@given(ANY_NAME)
def test_a_name_matches_itself_in_a_selector_and_never_ends_its_string(name: str) -> None:
    found = promql(SELECTOR, [MODEL], {"model": [name]}, WINDOW)
    inside = re.fullmatch(r'kat_requests_total\{model=~"((?:[^"\\]|\\.)*)"\}', found, flags=re.DOTALL)
    assert inside is not None
    pattern = re.sub(r"\\(.)", r"\1", inside[1], flags=re.DOTALL)
    assert re.fullmatch(pattern, name, flags=re.DOTALL)


def test_times_are_those_of_the_window() -> None:
    asked = sql("SELECT 1 WHERE $__timeFilter(hour)", {}, WINDOW)
    assert asked == "SELECT 1 WHERE hour BETWEEN '2026-11-25T11:00:00+00:00' AND '2026-11-25T12:00:00+00:00'"


def test_nothing_chosen_is_a_list_that_holds_nothing() -> None:
    assert sql("tenant IN (${tenant:sqlstring})", {"tenant": []}, WINDOW) == "tenant IN (NULL)"


@settings(max_examples=50)
@given(st.lists(ANY_NAME, min_size=1, max_size=3))
def test_names_are_quoted_whatever_they_hold(names: list[str]) -> None:
    found = sql("(${tenant:sqlstring})", {"tenant": names}, WINDOW)
    assert [quoted.replace("''", "'") for quoted in re.findall(r"'((?:[^']|'')*)'", found)] == names


def test_a_name_that_looks_like_a_variable_is_none() -> None:
    found = sql("${tenant:sqlstring} ${model:sqlstring}", {"tenant": ["${model:sqlstring}"], "model": ["m"]}, WINDOW)
    assert found == "'${model:sqlstring}' 'm'"


def test_titles_name_what_is_chosen() -> None:
    assert (
        words("Cost, $currency, against ${baseline}", {"currency": ["USD"], "baseline": []})
        == "Cost, USD, against none"
    )
