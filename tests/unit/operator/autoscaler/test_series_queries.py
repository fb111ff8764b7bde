"""The answer of Prometheus, good and bad."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from kat_operator.autoscaler.prometheus import QUERY, samples_of
from kat_operator.autoscaler.series import SOURCES, Series, Signal
from kat_operator.errors import PrometheusFailed
from kat_operator.kinds import Key


def an_answer(*items: dict[str, Any]) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "vector", "result": list(items)}}


def an_item(value: str = "1", **labels: str) -> dict[str, Any]:
    return {"metric": {"namespace": "default", "pod": "a", "signal": "queued", **labels}, "value": [1e9, value]}


def test_series_are_told_apart_by_replica_signal_mode_and_bound() -> None:
    answer = an_answer(
        an_item("4"),
        an_item("2", signal="in_flight", mode="on"),
        an_item("0.5", signal="first_answers", mode="off", le="+Inf", pod="b"),
        an_item("0.25", signal="first_answers", mode="off", le="2.5", pod="b"),
    )
    assert samples_of(answer) == {
        Key("default", "a"): {Series(Signal.QUEUED): 4.0, Series(Signal.IN_FLIGHT, "on"): 2.0},
        Key("default", "b"): {
            Series(Signal.FIRST_ANSWERS, "off", inf): 0.5,
            Series(Signal.FIRST_ANSWERS, "off", 2.5): 0.25,
        },
    }


def test_pods_of_one_name_in_two_namespaces_are_two() -> None:
    assert len(samples_of(an_answer(an_item(), an_item(namespace="other")))) == 2


@pytest.mark.parametrize("value", ["NaN", "+Inf"])
def test_what_is_no_number_is_left_out(value: str) -> None:
    assert samples_of(an_answer(an_item(value))) == {}


def test_series_of_no_pod_are_left_out() -> None:
    assert samples_of(an_answer(an_item(pod=""))) == {}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"status": "error", "errorType": "timeout", "error": "query timed out"},
        {"data": {"resultType": "matrix", "result": []}},
        an_answer(an_item("many")),
        an_answer(an_item(signal="of another query")),
        an_answer({"metric": {"pod": "a", "signal": "queued"}}),
    ],
)
def test_what_is_no_answer_to_the_query_is_a_failure_and_not_an_idle_service(answer: object) -> None:
    with pytest.raises(PrometheusFailed):
        samples_of(answer)


@pytest.mark.parametrize("signal", sorted(Signal))
def test_the_one_query_asks_for_every_signal(signal: Signal) -> None:
    assert f'"signal", "{signal}"' in QUERY


@pytest.mark.parametrize("signal", sorted(SOURCES))
def test_a_signal_is_read_from_its_metric(signal: Signal) -> None:
    assert SOURCES[signal].metric in QUERY
