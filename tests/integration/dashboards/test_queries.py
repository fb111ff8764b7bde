"""Every Prometheus query of the dashboards finds something where the platform is at work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.busy_platform import busy_platform
from tests.fakes.grafana import Query, promql, queries
from tests.fakes.real_prometheus import found, need_prometheus, running_prometheus

RULES = Path(__file__).parents[3] / "dashboards" / "rules.yaml"
WAIT_SECONDS = 60
QUERIES = list(queries("prometheus"))
RECORDED_LAST = "namespace_service:kat_operator_missing_replicas:max"
EMPTY: frozenset[str] = frozenset()
"""Queries that are empty although all is at work, and why: none."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """It has scraped a platform at work for a while, and evaluated the rules on it."""
    need_prometheus()
    with (
        busy_platform() as targets,
        running_prometheus(tmp_path_factory.mktemp("prometheus"), targets=targets, honor_labels=True, rules=RULES) as (
            _,
            url,
        ),
        httpx.Client(base_url=url, timeout=WAIT_SECONDS) as client,
    ):
        deadline = time.monotonic() + WAIT_SECONDS
        # A rate needs several samples, of each target; a rule is evaluated on what has been scraped.
        while not found(client, f"count_over_time({RECORDED_LAST}[1m]) >= 8"):
            assert time.monotonic() < deadline, "nothing is recorded"
            time.sleep(0.2)
        yield client


@pytest.mark.parametrize("query", QUERIES, ids=[query.name for query in QUERIES])
def test_a_panel_shows_something_where_the_platform_is_at_work(prometheus: httpx.Client, query: Query) -> None:
    series = found(prometheus, promql(query.target["expr"], rate_interval="20s"))
    assert bool(series) == (query.name not in EMPTY)


@pytest.mark.parametrize("query", QUERIES, ids=[query.name for query in QUERIES])
def test_a_legend_names_labels_that_the_series_have(prometheus: httpx.Client, query: Query) -> None:
    series = found(prometheus, promql(query.target["expr"], rate_interval="20s"))
    legend = query.target["legendFormat"]
    missing = [
        one["metric"] for one in series for word in legend.split("{{")[1:] if word.split("}}")[0] not in one["metric"]
    ]
    assert missing == []


@pytest.mark.parametrize("query", QUERIES, ids=[query.name for query in QUERIES])
def test_a_line_has_a_name_of_its_own(prometheus: httpx.Client, query: Query) -> None:
    series = found(prometheus, promql(query.target["expr"], rate_interval="20s"))
    legend: str = query.target["legendFormat"]
    if len(series) > 1:
        assert "{{" in legend
