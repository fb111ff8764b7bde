"""`kat report`, against a real Prometheus, a real Postgres and a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.pool import NullPool

from kat.processes import port_or_free
from kat_metering.cli_report import report
from tests.fakes.browser import chromium
from tests.fakes.busy_platform import MODEL, busy_platform
from tests.fakes.console_demo import console_demo
from tests.fakes.real_prometheus import found, need_prometheus, running_prometheus

RULES = Path(__file__).parents[3] / "dashboards" / "rules.yaml"
WAIT_SECONDS = 120
RECORDED_LAST = "namespace_service:kat_operator_missing_replicas:max"
EMPTY = {"Dead letters by reason"}
"""Panels without data on the page of the platform below: nothing that it was sent was refused."""


@dataclass(frozen=True)
class Platform:
    prometheus_url: str
    database_url: str


@pytest.fixture(scope="module")
def platform(
    a_database: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A platform at work, scraped for a while, and two tenants' usage of a month."""
    need_prometheus()
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        a_database() as database,
        console_demo(database, predictor=False),
        busy_platform() as targets,
        running_prometheus(folder, targets=targets, honor_labels=True, rules=RULES) as (_, url),
        httpx.Client(base_url=url, timeout=WAIT_SECONDS) as client,
    ):
        deadline = time.monotonic() + WAIT_SECONDS
        # A rate needs several samples, of each target; a rule is evaluated on what has been scraped.
        while not found(client, f"count_over_time({RECORDED_LAST}[2m]) >= 12"):
            assert time.monotonic() < deadline, "nothing is recorded"
            time.sleep(0.2)
        yield Platform(url, database)


@pytest.fixture
def kat_report(tmp_path: Path) -> Callable[..., tuple[Result, Path]]:
    """Runs the command with a state folder of its own, and tells where the page is to be."""

    def run(*arguments: str, **environment: str) -> tuple[Result, Path]:
        page = tmp_path / "report.html"
        home = {"KAT_HOME": str(tmp_path / "home"), "KAT_DATABASE_URL": "", **environment}
        done = CliRunner().invoke(
            report, ["--html", str(page), *arguments], env={name: value or None for name, value in home.items()}
        )
        return done, page

    return run


Run = Callable[..., tuple[Result, Path]]


def drawn(run: Run, platform: Platform, *arguments: str) -> str:
    done, page = run(
        *("--prometheus", platform.prometheus_url, "--database", platform.database_url),
        *("--hours", "0.02", "--scrape-interval", "1", *arguments),
    )
    assert done.exit_code == 0, done.output
    return page.read_text(encoding="utf-8")


def empty_panels(text: str) -> set[str]:
    return set(re.findall(r"<h4>([^<]*)</h4>\s*<p class=\"none\">", text))


def test_every_panel_of_a_platform_at_work_shows_something(kat_report: Run, platform: Platform) -> None:
    assert empty_panels(drawn(kat_report, platform)) == EMPTY


def test_figures_of_both_sources_are_on_the_page(kat_report: Run, platform: Platform) -> None:
    text = drawn(kat_report, platform, "--baseline", "dense-200b")
    for shown in ("default/kat wanted", "Cost, USD", "Saved at equal tokens, USD", "borealis", "against dense-200b"):
        assert shown in text


def test_what_is_chosen_is_all_that_is_shown(kat_report: Run, platform: Platform) -> None:
    text = drawn(kat_report, platform, "--tenant", "acme", "--model", MODEL, "--namespace", "default")
    assert "acme" in text
    assert "borealis" not in text
    assert "Waiting" not in empty_panels(text)


def test_of_another_namespace_nothing_is_shown(kat_report: Run, platform: Platform) -> None:
    empty = empty_panels(drawn(kat_report, platform, "--namespace", "elsewhere"))
    assert {"Waiting", "Requests that think", "Replicas wanted"} <= empty


def test_a_page_holds_no_secret(kat_report: Run, platform: Platform) -> None:
    text = drawn(kat_report, platform, "--prometheus", platform.prometheus_url.replace("//", "//me:hush-hush@"))
    assert platform.prometheus_url in text
    url = make_url(platform.database_url)
    assert [secret for secret in ("hush-hush", str(url.database), "postgresql") if secret in text] == []


def test_the_page_is_whole_in_a_browser(kat_report: Run, platform: Platform, tmp_path: Path) -> None:
    drawn(kat_report, platform)
    faults, asked = list[str](), list[str]()
    with chromium() as browser:
        page = browser.new_page(color_scheme="dark", viewport={"width": 390, "height": 800})
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        address = (tmp_path / "report.html").as_uri()
        page.goto(address)
        assert (faults, asked) == ([], [address])
        # On a phone, too, nothing lies beyond the screen's edge.
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("svg[role=img]").count() > 50


def test_a_database_alone_is_enough(kat_report: Run, platform: Platform) -> None:
    done, page = kat_report(KAT_DATABASE_URL=platform.database_url)
    assert done.exit_code == 0, done.output
    assert "no Prometheus was named" in page.read_text()


def test_a_prometheus_alone_is_enough(kat_report: Run, platform: Platform) -> None:
    done, page = kat_report("--prometheus", platform.prometheus_url)
    assert done.exit_code == 0, done.output
    assert "no database was named" in page.read_text()


def test_what_the_user_may_not_read_is_said_on_its_panel(kat_report: Run, platform: Platform) -> None:
    """As Grafana's user, but for the dead letters."""
    owner = make_url(platform.database_url)
    engine = create_engine(owner, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    name = f"onlooker_{owner.database}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD 'hush-hush'")
        tables = "tenant, usage_hourly, usage_daily, price, baseline, baseline_price, shadow_sample"
        connection.exec_driver_sql(f"GRANT SELECT ON {tables} TO {name}")
    try:
        onlooker = owner.set(username=name, password="hush-hush").render_as_string(hide_password=False)
        done, page = kat_report("--database", onlooker)
        assert done.exit_code == 0, done.output
        assert "may not read it (permission denied for table dead_letter)" in page.read_text()
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {name}")
            connection.exec_driver_sql(f"DROP ROLE {name}")


def test_without_a_source_there_is_nothing_to_draw(kat_report: Run) -> None:
    done, page = kat_report()
    assert (done.exit_code, page.exists()) == (2, False)
    assert "name a --prometheus, a --database, or both" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prometheus", "http://me:hush-hush@127.0.0.1:{port}"], "no answer from Prometheus at http://127.0.0.1:"),
        (["--database", "postgresql://me:hush-hush@127.0.0.1:{port}/kat"], "metering's database: connection failed"),
        (["--database", "mysql://me:hush-hush@127.0.0.1:{port}/kat"], "metering's database: not a URL of PostgreSQL"),
        (["--database", "hush-hush"], "metering's database: not a URL of PostgreSQL"),
        (["--prometheus", "hush-hush"], "--prometheus is no URL"),
    ],
)
def test_a_source_that_does_not_answer_is_told_in_one_line(kat_report: Run, arguments: list[str], said: str) -> None:
    port = port_or_free(0)
    done, page = kat_report(*(argument.format(port=port) for argument in arguments))
    assert (done.exit_code, page.exists()) == (2, False)
    assert said in done.stderr.splitlines()[-1]
    assert "hush-hush" not in done.output


def test_a_database_of_something_else_is_told_apart(kat_report: Run, empty_database: URL) -> None:
    done, _ = kat_report("--database", empty_database.render_as_string(hide_password=False))
    assert done.exit_code == 2
    assert "it is no database of metering" in done.stderr
