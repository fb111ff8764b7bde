"""A real Prometheus scrapes the pods of an installed release under load: every dashboard then shows something."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from dashboards import usage_sql
from kat_metering.store.engine import database_url
from tests.fakes import console_demo
from tests.fakes.grafana import promql, queries, sql
from tests.fakes.helm import CHART
from tests.fakes.installation import MODEL, Installation
from tests.fakes.real_prometheus import found, need_prometheus, running_prometheus, write_targets
from tests.fakes.service_change import wait_settled
from tools.cluster.api_client import Json, wait_until

pytestmark = pytest.mark.timeout(1_500)

RULES: Final = CHART / "files" / "rules.yaml"
PORTS: Final = {"operator": 8081, "metering": 8090}
PREDICTOR_PORT: Final = 8080
PROMQL: Final = list(queries("prometheus"))
SQL: Final = list(queries("grafana-postgresql-datasource"))
SECONDS: Final = 420
"""Plenty for what a few rounds of requests and their samples take on a busy machine."""
TENANT: Final = "onlooker"
THRIFTY: Final = "thrifty"
"""A tenant whose budget is used up by its first request."""
EMPTY: Final = {
    "kat-autoscaling: Bounded by what (A)": "one replica is enough, and the node has room for more",
    "kat-autoscaling: Looks that failed (A)": "no look fails",
    "kat-metering-health: Dead letters by reason (A)": "predictors send nothing that metering refuses",
}
"""Queries that may find nothing although all is at work, and why."""


@dataclass(frozen=True)
class Watched:
    """The installation, and who has watched it."""

    installed: Installation
    prometheus: httpx.Client
    engine: Engine

    @property
    def prometheus_url(self) -> str:
        return str(self.prometheus.base_url)

    def empty(self) -> set[str]:
        """The queries that find nothing, less those of which it is expected."""
        of_prometheus = {
            query.name
            for query in PROMQL
            if not found(self.prometheus, promql(query.target["expr"], rate_interval="5m"))
        }
        return (of_prometheus | {query.name for query in SQL if not self._finds(query.target["rawSql"])}) - EMPTY.keys()

    def refusals(self) -> list[Json]:
        return found(self.prometheus, f'sum by (status) (kat_requests_total{{model="{MODEL}", status="rejected"}}) > 0')

    def _finds(self, query: str) -> bool:
        now = datetime.now(UTC)
        with self.engine.connect() as connection:
            chosen = {
                "tenant": list(connection.scalars(text(usage_sql.TENANTS))),
                "model": list(connection.scalars(text(usage_sql.MODELS))),
                "baseline": list(connection.scalars(text(usage_sql.BASELINES)))[:1],
            }
            if not all(chosen.values()):
                return False
            asked = sql(query, chosen, start=now - timedelta(days=30), end=now + timedelta(hours=1))
            rows = connection.exec_driver_sql(asked.replace("%", "%%")).all()
        return any(value is not None for row in rows for value in row)


@pytest.fixture(scope="module")
def watched(installed: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Requests of every kind have gone through it until everything showed something, or for as long as there is."""
    need_prometheus()
    wait_settled(installed)
    folder = tmp_path_factory.mktemp("prometheus")
    engine = create_engine(database_url(installed.database_url), poolclass=NullPool)
    with (
        httpx.Client(
            base_url=installed.metering_url, headers={"Authorization": f"Bearer {installed.admin_token}"}, timeout=60
        ) as metering,
        running_prometheus(folder, targets=targets(installed), honor_labels=True, rules=RULES) as (_, url),
        httpx.Client(base_url=url, timeout=60) as prometheus,
    ):
        keys = {tenant: made_key(metering, tenant) for tenant in (TENANT, THRIFTY)}
        sent = metering.post(
            "/v1/shadow/samples",
            content=console_demo.samples(datetime.now(UTC)).replace(console_demo.MODEL.encode(), MODEL.encode()),
            headers={"Content-Type": "application/json"},
        )
        assert sent.is_success, sent.text
        wait_until(lambda: known(installed.url, keys), seconds=SECONDS, what="predictors that know the new keys")
        found_so_far = Watched(installed, prometheus, engine)
        deadline = time.monotonic() + SECONDS
        # Requests go on while it looks: a rate shows only what happened between two samples. The pods they go to may
        # change meanwhile, as the fleet's size does.
        while (found_so_far.empty() or not found_so_far.refusals()) and time.monotonic() < deadline:
            write_targets(folder, targets(installed))
            requests_of_every_kind(installed.url, keys)
        yield found_so_far


def targets(installed: Installation) -> dict[str, Mapping[str, str]]:
    """The pods' addresses, with the labels that a PodMonitor would give them."""
    pods = [(pod, PORTS[part]) for part in PORTS for pod in installed.pods(part)]
    pods += [(pod, PREDICTOR_PORT) for pod in installed.pods() if is_predictor(pod)]
    return {
        f"{pod['status']['podIP']}:{port}": {
            "namespace": pod["metadata"]["namespace"],
            "pod": pod["metadata"]["name"],
        }
        for pod, port in pods
    }


def is_predictor(pod: Json) -> bool:
    return any(container["name"] == "kserve-container" for container in pod["spec"]["containers"])


def made_key(metering: httpx.Client, tenant: str) -> str:
    budget = {"monthly_budget": "0.000001"} if tenant == THRIFTY else {"monthly_budget": "1000"}
    metering.post("/v1/tenants", json={"id": tenant, "name": tenant, **budget}).raise_for_status()
    made = metering.post(f"/v1/tenants/{tenant}/keys", json={"name": "dashboards", "project": "dashboards"})
    key: str = made.raise_for_status().json()["key"]
    return key


def known(url: str, keys: Mapping[str, str]) -> bool:
    """Whether a predictor's copy of the directory has the keys."""
    answers = (httpx.get(f"{url}/v1/models", headers=authorized(key)) for key in keys.values())
    return all(answer.is_success for answer in answers)


def requests_of_every_kind(url: str, keys: Mapping[str, str]) -> None:
    """Modes by all who choose them, thinking that is cut at its budget, a stream left early, a tenant's last money."""
    with httpx.Client(base_url=url, timeout=120) as client:

        def ask(content: str, tenant: str = TENANT, **parameters: Any) -> httpx.Response:
            body = {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 24, **parameters}
            return client.post("/v1/chat/completions", json=body, headers=authorized(keys[tenant]))

        asked = (
            ask("Is 91 a prime number?"),
            ask("Is 91 a prime number?", reasoning_effort="high", thinking_token_budget=4),
            ask("Name a colour.", reasoning_effort="none"),
            ask("Do not think, answer at once: name a colour."),
        )
        assert [answer.status_code for answer in asked] == [httpx.codes.OK] * len(asked), [each.text for each in asked]
        # Served while the budget's end has not come round to the predictor, refused afterwards.
        assert ask("Name a colour.", THRIFTY).status_code in {httpx.codes.OK, httpx.codes.TOO_MANY_REQUESTS}
        streamed = {"model": MODEL, "messages": [{"role": "user", "content": "Count to 100."}], "stream": True}
        with client.stream(
            "POST", "/v1/chat/completions", json=streamed, headers=authorized(keys[TENANT])
        ) as left_early:
            next(left_early.iter_lines())


def authorized(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_what_may_be_empty_is_asked_for() -> None:
    assert EMPTY.keys() <= {query.name for query in (*PROMQL, *SQL)}


def test_every_query_of_the_dashboards_finds_something(watched: Watched) -> None:
    assert watched.empty() == set()


@pytest.mark.parametrize("part", ["operator", "metering", "predictor"])
def test_every_part_is_scraped(watched: Watched, part: str) -> None:
    metric = {"operator": "kat_operator_leader", "metering": "kat_metering_budgets", "predictor": "kat_outbox_events"}
    assert found(watched.prometheus, metric[part])


def test_a_request_beyond_a_budget_is_among_what_they_show(watched: Watched) -> None:
    assert watched.refusals()


def test_the_report_draws_what_they_show(watched: Watched, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = kat_report(page, "--prometheus", watched.prometheus_url, "--database", watched.installed.database_url)
    assert done.returncode == 0, done.stderr
    assert f"{watched.installed.services.namespace}/small wanted" in page.read_text()


def kat_report(page: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("kat")), "report", "--html", str(page), "--scrape-interval", "1"]
    return subprocess.run(
        [*command, "--hours", "0.1", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
