"""What `kat autoscaler explain` tells."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

from rich.console import Console

from kat_operator.autoscaler.explain import BOUNDS, explain, explain_now
from kat_operator.autoscaler.policy import Reason
from kat_operator.cli_autoscaler import as_tables
from tests.fakes.observations import some_signals

SERVICE: dict[str, Any] = {
    "metadata": {"namespace": "llm", "name": "kat"},
    "spec": {
        "model": {"uri": "default"},
        "pools": [{"name": "h100", "gpusPerReplica": 2}],
        "replicas": {"min": 1, "max": 9},
        "autoscaling": {"requestsPerReplica": 40, "targetUtilization": 0.75},
        "metering": {"url": "http://metering", "serviceToken": {"name": "kat", "key": "token"}},
    },
    "status": {
        "replicas": 3,
        "readyReplicas": 2,
        "desiredReplicas": 4,
        "thinkOnShare": "34 %",
        "startupSeconds": 181.0,
        "pools": [{"name": "h100", "replicas": 3, "ready": 2, "ceiling": 4}],
        "conditions": [
            {
                "type": "CapacityLimited",
                "status": "True",
                "reason": "PoolsFull",
                "message": "5.2 replicas are wanted",
                "lastTransitionTime": "2026-11-24T12:00:00Z",
            }
        ],
        "lastDecision": {
            "reason": "CapacityLimited",
            "message": "from 3 to 4 replicas",
            "time": "2026-11-24T12:00:00Z",
            "wishes": [
                {"law": "in_flight", "replicas": 5.2, "because": "156 in flight"},
                {"law": "kv_cache", "replicas": 1.9, "because": "KV caches 50 % full"},
            ],
            "bounds": ["ceiling"],
        },
    },
}


def printed(answer: dict[str, Any], *, width: int = 200) -> str:
    text = StringIO()
    Console(width=width, file=text).print(as_tables(answer))
    return text.getvalue()


def test_it_tells_each_laws_wish_and_what_bounded_the_largest() -> None:
    decision = explain(SERVICE)["decision"]
    assert [(wish["law"], wish["replicas"]) for wish in decision["wishes"]] == [("in_flight", 5.2), ("kv_cache", 1.9)]
    assert decision["bounds"] == [{"name": "ceiling", "means": BOUNDS["ceiling"]}]


def test_the_answer_is_json() -> None:
    answer = {**explain(SERVICE), "now": explain_now(SERVICE, some_signals(in_flight=45))}
    assert json.loads(json.dumps(answer)) == answer


def test_the_table_has_the_laws_the_bounds_and_the_decision() -> None:
    text = printed(explain(SERVICE))
    for told in ("llm/kat: 4 desired, 2 ready, 34 % think-on", "in_flight", "156 in flight", "what the pools' nodes"):
        assert told in text
    assert re.search(r"^CapacityLimited +from 3 to 4 replicas \(since 2026-11-24T12:00:00Z\)", text, re.MULTILINE)


def test_in_a_narrow_terminal_texts_stay_in_their_column_and_nothing_is_cut() -> None:
    text = printed(
        {**explain(SERVICE), "now": explain_now(SERVICE, some_signals(in_flight=45, think_on=0.4))}, width=50
    )
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= 50
    assert "…" not in text
    [place] = [number for number, line in enumerate(lines) if line.startswith("CapacityLimited     from")]
    assert lines[place + 1].startswith(" " * len("bounded by ceiling"))


def test_signals_of_now_come_with_what_the_laws_make_of_them() -> None:
    shown = some_signals(in_flight=45, queued=3, per_second=5, think_on=0.4, kv_cache=0.4, first_answer_off=1.5)
    now = explain_now(SERVICE, shown)
    assert {wish["law"] for wish in now["wishes"]} >= {"in_flight", "queue", "latency", "kv_cache"}
    text = printed({**explain(SERVICE), "now": now})
    assert "3 queued" in text


def test_a_service_without_a_decision_says_so() -> None:
    answer = explain({"metadata": SERVICE["metadata"], "spec": SERVICE["spec"]})
    assert answer["decision"] is None
    assert "Nothing has been decided yet." in printed(answer)


def test_every_bound_that_a_decision_may_name_has_a_meaning() -> None:
    assert set(BOUNDS) == {"hold", "band", "window", "regret", "pace", "step", "min", "max", "ceiling"}


def test_reasons_are_words_that_kubernetes_takes() -> None:
    assert all(reason.isalnum() and reason[0].isupper() for reason in Reason)
