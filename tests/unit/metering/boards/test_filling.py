"""Boards take what their sources have, and say why there is nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kat_metering.boards.definitions import boards
from kat_metering.boards.filling import Filled, FilledBoard, Sources, filled, without_data
from kat_metering.boards.window import Window
from tests.fakes.told_prometheus import ToldPrometheus

WINDOW = Window.until(datetime(2026, 11, 25, tzinfo=UTC), timedelta(hours=1), scrape_interval=timedelta(minutes=1))
SERVING, TENANTS = ({board.uid: board for board in boards()}[uid] for uid in ("kat-serving", "kat-tenants"))


def panel(board: FilledBoard, title: str) -> Filled:
    (found,) = [panel for section in board.sections for panel in section.panels if panel.title == title]
    return found


def serving(told: ToldPrometheus, **chosen: list[str]) -> FilledBoard:
    return filled(SERVING, Sources(prometheus=told.client()), chosen, WINDOW)


def test_a_number_is_the_latest_of_its_course() -> None:
    told = ToldPrometheus(series={"sum(kat_requests_queued": [({}, [3, 4, 5])]})
    assert panel(serving(told), "Waiting").number == 5


def test_a_line_is_called_as_its_legend_says() -> None:
    told = ToldPrometheus(
        series={"by (status) (rate(kat_requests_total": [({"status": "ok"}, [1]), ({"status": "error"}, [2])]}
    )
    course = panel(serving(told), "Requests by how they ended").course
    assert course is not None
    assert [series.name for series in course.series] == ["error", "ok"]


def test_lines_of_several_queries_are_on_one_chart() -> None:
    told = ToldPrometheus(
        series={
            f"histogram_quantile({share}, sum by (le) (rate(kat_inter_token": [({}, [1])]
            for share in ("0.5", "0.95", "0.99")
        }
    )
    course = panel(serving(told), "Time between tokens").course
    assert course is not None
    assert [series.name for series in course.series] == ["median", "p95", "p99"]


def test_what_is_chosen_is_asked_for() -> None:
    told = ToldPrometheus()
    serving(told, model=["KAT-V1-40B"], namespace=["kat"])
    assert 'count(kat_kv_cache_usage_ratio{namespace=~"kat"})' in told.asked
    assert any('model=~"KAT\\\\-V1\\\\-40B"' in query for query in told.asked)


def test_metrics_that_were_never_scraped_are_named() -> None:
    told = ToldPrometheus(names=["kat_requests_total"])
    assert panel(serving(told), "Waiting").why == "Prometheus has no series kat_requests_queued"


def test_nothing_in_this_time_is_told_apart_from_nothing_at_all() -> None:
    told = ToldPrometheus(names=["kat_requests_queued"])
    assert "its series are there" in panel(serving(told), "Waiting").why


def test_panels_whose_source_was_not_named_say_so() -> None:
    nothing = filled(TENANTS, Sources(), {}, WINDOW)
    assert set(without_data(nothing).values()) == {"no database was named"}
    assert set(without_data(filled(SERVING, Sources(), {}, WINDOW)).values()) == {"no Prometheus was named"}


def test_titles_name_what_is_compared_with() -> None:
    board = filled(TENANTS, Sources(), {"baseline": ["kat-v1-200b"]}, WINDOW)
    assert board.sections[-1].title == "Savings against kat-v1-200b"
