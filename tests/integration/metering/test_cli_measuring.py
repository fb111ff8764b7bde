"""`kat shadow`, `kat gpu-cost` and `kat usage gpu-cost` against a real service and models behind real HTTP."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from kat_metering.cli_gpu_cost import gpu_cost
from kat_metering.cli_shadow import shadow
from kat_metering.cli_usage import savings, usage
from kat_metering.settings import Settings
from tests.fakes.metering import ADMIN_TOKEN
from tests.fakes.metering_server import metering_server
from tests.fakes.openai_models import completion, model_server
from tests.fakes.usage_events import an_event

Kat = Callable[..., Result]
HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
THIS_HOUR = ("--from", HOUR.isoformat(), "--to", (HOUR + timedelta(hours=1)).isoformat())


@pytest.fixture
def kat(settings: Settings, tmp_path: Path) -> Iterator[Kat]:
    """Runs commands against a service where acme thought a million tokens in the hour before this one."""
    with metering_server(settings, an_event(at=HOUR, tokens={"think": 1_000_000}, engine_seconds=900)) as url:

        def run(command: click.Command, *arguments: str, **given: Any) -> Result:
            environment = {"KAT_METERING_URL": url, "KAT_ADMIN_TOKEN": ADMIN_TOKEN, "KAT_HOME": str(tmp_path)}
            return CliRunner().invoke(command, arguments, env={**environment, "COLUMNS": "100"}, **given)

        yield run


def answering(name: str, _: dict[str, Any]) -> dict[str, Any]:
    return {
        "ours": completion("4", tokens=100, prompt_tokens=10, mode="on"),
        "theirs": completion("four", tokens=150),
        "judge": completion("EQUAL", tokens=1),
    }[name]


def prompts(folder: Path, count: int, **more: Any) -> str:
    """The name of a file of prompts."""
    line = {"messages": [{"role": "user", "content": "2 + 2?"}], "consent": True, **more}
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for _ in range(count)))
    return str(file)


def options(address: str) -> list[str]:
    return [
        "--service", f"{address}/ours", "--service-model", "KAT-V1-40B",
        "--baseline", f"{address}/theirs", "--baseline-model", "big",
        "--judge", f"{address}/judge", "--judge-model", "wise"]  # fmt: skip


def test_a_shadow_run_makes_savings_measured_and_judged(kat: Kat, tmp_path: Path) -> None:
    file = prompts(tmp_path, 40)
    with model_server(answering) as address:
        done = kat(shadow, "run", "--prompts", file, *options(address))
    assert (done.exit_code, done.stdout) == (0, "40 samples, 40 of them judged\n"), done.output
    # Samples count from the moment they were taken: for usage of an open window, which ends after it.
    window = ("--from", HOUR.isoformat(), "--to", (HOUR + timedelta(hours=3)).isoformat(), "--format", "json")
    for method in ("L2", "L3"):
        totals = json.loads(kat(savings, "--method", method, *window).output)["totals"]
        assert (totals["token_basis"], totals["samples"], totals["savings"]) == ("measured", 40, "0.05")
    status = kat(shadow, "status")
    assert ("KAT-V1-40B" in status.output, "1.50" in status.output) == (True, True)


def test_a_shadow_run_says_what_it_left_out(kat: Kat, tmp_path: Path) -> None:
    file = prompts(tmp_path, 3, consent=False)
    with model_server(answering) as address:
        done = kat(shadow, "run", "--prompts", file, *options(address))
    assert (done.exit_code, "3 prompts left out: without consent" in done.stderr) == (1, True)


def test_a_bad_line_or_share_or_baseline_stops_a_run_before_anything_is_sent(kat: Kat, tmp_path: Path) -> None:
    nowhere = options("http://127.0.0.1:9")
    good = prompts(tmp_path, 1)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"messages": []}\n')
    failures = [
        kat(shadow, "run", "--prompts", str(bad), *nowhere),
        kat(shadow, "run", "--prompts", good, "--sample", "200%", *nowhere),
        kat(shadow, "run", "--prompts", good, "--baseline-name", "gpt", *nowhere),
    ]
    said = ["line 1: messages", "at most 100%", "There is no baseline 'gpt'"]
    assert [text in failure.output for text, failure in zip(said, failures, strict=True)] == [True] * 3


def test_gpu_time_is_imported_and_its_cost_shown_with_idle_as_a_line(kat: Kat) -> None:
    file = f"source,hour,gpus,seconds,gpu_hour_price\npredictor-0:8080,{HOUR.isoformat()},2,,3\n"
    done = kat(gpu_cost, "import", "-", input=file)
    assert (done.exit_code, done.stdout) == (0, "1 replica hours recorded\n"), done.output
    rows = list(csv.DictReader(io.StringIO(kat(usage, "gpu-cost", *THIS_HOUR, "--format", "csv").output)))
    assert [(row["line"], row["tenant"], row["cost"]) for row in rows] == [
        ("tenant", "acme", "1.5"), ("idle", "", "4.5"), ("total", "", "6")]  # fmt: skip
    assert "(idle)" in kat(usage, "gpu-cost", *THIS_HOUR).output


def test_a_file_of_other_columns_is_refused(kat: Kat) -> None:
    done = kat(gpu_cost, "import", "-", input="replica,hour\na,b\n")
    assert (done.exit_code, "the first line must name columns" in done.output) == (1, True)
