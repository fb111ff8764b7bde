"""The commands against a real service."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import click
import httpx
import pyarrow.parquet as pq
import pytest
import uvicorn
from click.testing import CliRunner, Result

from kat_metering.cli_export import export
from kat_metering.cli_prices import prices
from kat_metering.cli_usage import savings, usage
from kat_metering.main import create_app
from kat_metering.settings import Settings
from tests.fakes.http_sink import http_sink
from tests.fakes.metering import ADMIN_TOKEN, SERVICE
from tests.fakes.s3_server import s3_server
from tests.fakes.usage_events import a_delivery, an_event

WAIT_SECONDS = 60
Kat = Callable[..., Result]


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """The address of a service with three requests in its roll-up, one of them of a model without a price."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        address = f"http://{host}:{port}"
        _deliver(address, an_event(labels={"task": "humaneval"}), an_event(mode="off"), an_event(model="mystery"))
        yield address
    finally:
        server.should_exit = True
        thread.join()


def _deliver(address: str, *events: object) -> None:
    headers = {**SERVICE, "Content-Type": "application/cloudevents-batch+json"}
    admin = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    with httpx.Client(base_url=address, timeout=WAIT_SECONDS) as client:
        deadline = time.monotonic() + WAIT_SECONDS
        while client.get("/readyz").status_code != httpx.codes.OK and time.monotonic() < deadline:
            time.sleep(0.01)
        assert client.post("/v1/events", content=a_delivery(*events), headers=headers).json()["new"] == len(events)
        while time.monotonic() < deadline:
            if client.get("/v1/usage", headers=admin).json()["totals"]["requests"] == len(events):
                return
            time.sleep(0.01)
    raise TimeoutError("the events do not reach the roll-up")


@pytest.fixture
def kat(url: str, tmp_path: Path) -> Kat:
    def run(command: click.Command, *arguments: str, token: str = ADMIN_TOKEN, **given: Any) -> Result:
        environment = {"KAT_METERING_URL": url, "KAT_ADMIN_TOKEN": token, "KAT_HOME": str(tmp_path), "COLUMNS": "100"}
        return CliRunner().invoke(command, arguments, env=environment, **given)

    return run


def test_the_commands_show_exports_and_change_what_the_service_has(kat: Kat, tmp_path: Path) -> None:
    """One service for all commands: starting it takes longer than they do."""
    shown = kat(usage)
    assert shown.exit_code == 0, shown.output
    assert "mystery" in shown.output
    assert "no price was in force" in shown.output

    report = json.loads(kat(usage, "--format", "json", "--group-by", "model").output)
    assert {row["model"]: row["cost"] for row in report["rows"]} == {"KAT-V1-40B": "0.000108", "mystery": None}

    rows = list(csv.DictReader(io.StringIO(kat(savings, "--format", "csv", "--group-by", "task").output)))
    assert {row["task"]: row["token_basis"] for row in rows} == {"": "equal_tokens", "humaneval": "cited"}
    table = kat(savings, "--baseline", "dense-200b", "--method", "L1")
    assert "L1 savings against dense-200b (hypothetical), in USD" in table.output

    month = f"{datetime.now(UTC):%Y-%m}"
    printed = kat(export, "--tenant", "acme", "--month", month)
    assert len(list(csv.DictReader(io.StringIO(printed.output)))) == 3
    file = tmp_path / "usage.jsonl"
    written = kat(export, "--tenant", "acme", "--month", month, "--format", "jsonl", "-o", str(file))
    assert (written.exit_code, written.output) == (0, "")
    assert {json.loads(line)["tenant"] for line in file.read_text().splitlines()} == {"acme"}
    assert list(tmp_path.iterdir()) == [file]
    with http_sink() as sink:
        sent = kat(export, "--month", month, "--format", "focus-csv", "--to", f"{sink.url}/usage.csv")
    assert (sent.exit_code, sent.output) == (0, "")
    charges = list(csv.DictReader(io.StringIO(sink.received[0][3].decode())))
    assert {row["x_Model"] for row in charges} == {"KAT-V1-40B", "mystery"}

    entry = (
        "[{model: mystery, segment: think, per_million: 1, currency: USD, effective_from: 2026-01-01T00:00:00Z,"
        " basis: compute, source: a contract, source_date: 2026-01-01}]"
    )
    done = kat(prices, "import", "-", input=entry)
    assert (done.exit_code, done.stdout) == (0, "1 added, 0 ended, 0 unchanged\n")
    assert "mystery" in kat(prices, "list").output


def test_an_export_is_sent_to_storage(kat: Kat, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with s3_server() as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        bucket = boto3.resource("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="finops")
        sent = kat(export, "--format", "focus-parquet", "--to", "s3://finops/usage.parquet")
        assert (sent.exit_code, sent.output) == (0, "")
        stored = pq.read_table(io.BytesIO(bucket.Object("usage.parquet").get()["Body"].read()))
    assert set(stored.column("x_Model").to_pylist()) == {"KAT-V1-40B", "mystery"}


def test_errors_of_the_service_are_one_line_and_exit_code_1(kat: Kat, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    failures = [
        kat(usage, "--from", "yesterday"),
        kat(savings, "--baseline", "gpt"),
        kat(export, "--month", "2026-11", "-o", str(file)),
        kat(prices, "import", "-", input="[{model: M}]"),
        kat(usage, token="not-the-token"),
        kat(export, "--tenant", "acme", "-o", str(tmp_path / "away" / "out.csv")),
        kat(export, "--tenant", "acme", "--to", "s3://bucket"),
    ]
    assert [failure.exit_code for failure in failures] == [1] * 7
    assert [len(failure.output.splitlines()) for failure in failures] == [1] * 7
    assert "from: expected a date" in failures[0].output
    assert "prices[0].segment" in failures[3].output
    assert not file.exists()
