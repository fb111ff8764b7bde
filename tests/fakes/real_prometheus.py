"""A real Prometheus (Debian's package), with a past or with targets to scrape."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from kat.processes import Part, port_or_free

_WAIT_SECONDS = 30


def need_prometheus() -> None:
    """Skip, where it is not installed; in CI that is a failure."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("needs the package prometheus: apt-get install prometheus")


def write_past(folder: Path, lines: Iterable[str]) -> None:
    """Make a database of samples, each a line of the text format with its time in seconds."""
    text = folder / "past.om"
    text.write_text("".join(f"{line}\n" for line in [*lines, "# EOF"]))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data")],
        check=True,
        capture_output=True,
    )


def write_targets(folder: Path, targets: Mapping[str, Mapping[str, str]]) -> None:
    """Have the Prometheus of a folder scrape these, from a moment later on: `address:port`, and the labels it gets."""
    groups = [{"targets": [address], "labels": dict(labels)} for address, labels in targets.items()]
    new = folder / "targets.json.new"
    new.write_text(json.dumps(groups))
    new.replace(_targets(folder))


@contextmanager
def running_prometheus(
    folder: Path,
    *,
    targets: Mapping[str, Mapping[str, str]] | None = None,
    interval: str = "1s",
    honor_labels: bool = False,
    rules: Path | None = None,
    port: int | None = None,
) -> Iterator[tuple[Part, str]]:
    """Prometheus, and its URL.

    Args:
        folder: What it writes, and `write_past` may have written.
        targets: What it scrapes, until `write_targets` says otherwise.
        interval: Between two scrapes.
        honor_labels: Whether a target's own labels go before those given here.
        rules: A file of rules, evaluated as often as is scraped.
        port: Where it listens; without it, a free one.
    """
    port = port_or_free(0) if port is None else port
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [] if rules is None else [str(rules.resolve())],
        "scrape_configs": [
            {
                "job_name": "replicas",
                "honor_labels": honor_labels,
                "file_sd_configs": [{"files": [str(_targets(folder))]}],
            }
        ],
    }
    write_targets(folder, targets or {})
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(config))
    url = f"http://127.0.0.1:{port}"
    part = Part(
        name="prometheus",
        argv=[
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
        env={},
        log=folder / "prometheus.log",
        ready_url=f"{url}/-/ready",
    )
    part.start()
    try:
        part.wait_ready(timeout=_WAIT_SECONDS)
        yield part, url
    finally:
        part.stop(timeout=_WAIT_SECONDS)


def _targets(folder: Path) -> Path:
    return folder / "targets.json"


def found(client: httpx.Client, expr: str) -> list[dict[str, Any]]:
    """The series that a query finds now and that have a number."""
    answer = client.post("/api/v1/query", data={"query": expr})
    assert answer.is_success, f"{expr}: {answer.text}"
    result: list[dict[str, Any]] = answer.json()["data"]["result"]
    return [series for series in result if math.isfinite(float(series["value"][1]))]
