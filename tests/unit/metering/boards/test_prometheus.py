"""What a Prometheus tells, and what is said where it tells nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from kat_metering.boards.prometheus import metrics_in
from kat_metering.boards.window import Window
from kat_metering.errors import ReportSourceError
from tests.fakes.told_prometheus import Answer, ToldPrometheus, prometheus_that, succeeded

WINDOW = Window.until(datetime(2026, 11, 25, tzinfo=UTC), timedelta(minutes=1), scrape_interval=timedelta(seconds=20))
NAN = float("nan")


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("Connection refused", request=request)


def test_a_series_has_a_value_for_each_moment() -> None:
    told = ToldPrometheus(series={"up": [({"pod": "a"}, [1, 0])]})
    (found,) = told.client().course("up", WINDOW)
    assert (found.labels, found.values) == ({"pod": "a"}, (1, 0, None, None))


def test_what_is_no_number_is_no_value() -> None:
    told = ToldPrometheus(series={"up": [({}, [1, NAN, float("inf")])]})
    (found,) = told.client().course("up", WINDOW)
    assert found.values == (1, None, None, None)


def test_a_series_without_a_value_is_none() -> None:
    assert ToldPrometheus(series={"up": [({}, [NAN, NAN])]}).client().course("up", WINDOW) == []


def test_series_have_an_order_of_their_own() -> None:
    told = ToldPrometheus(series={"up": [({"pod": "b"}, [1]), ({"pod": "a"}, [1])]})
    assert [found.labels["pod"] for found in told.client().course("up", WINDOW)] == ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refused, "no answer from Prometheus at http://prometheus.example: Connection refused"),
        (lambda _: httpx.Response(200, text="<html>"), "does not answer as Prometheus does"),
        (lambda _: httpx.Response(404, json={"detail": "Not Found"}), "does not answer as Prometheus does"),
        (
            lambda _: httpx.Response(400, json={"status": "error", "error": "parse error"}),
            "refuses a query: parse error",
        ),
    ],
)
def test_an_answer_that_is_none_is_told_in_one_line(answer: Answer, said: str) -> None:
    with pytest.raises(ReportSourceError, match=said) as told:
        prometheus_that(answer).course("up", WINDOW)
    assert "\n" not in told.value.detail


def test_its_address_is_told_without_a_password() -> None:
    assert (
        prometheus_that(lambda _: succeeded([]), "http://me:secret@p.example:9090/sub").address
        == "http://p.example:9090/sub"
    )


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('sum(rate(kat_requests_total{model=~"kat_x"}[5m]))', {"kat_requests_total"}),
        (
            "namespace_model:kat_requests_failed:ratio_rate1h / 0.005",
            {"namespace_model:kat_requests_failed:ratio_rate1h"},
        ),
        ("kat_a_total / on (pod) kat_b_total", {"kat_a_total", "kat_b_total"}),
    ],
)
def test_the_metrics_of_a_query_are_known(query: str, names: set[str]) -> None:
    assert metrics_in([query]) == names
