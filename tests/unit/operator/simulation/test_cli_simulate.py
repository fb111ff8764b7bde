"""`kat simulate`."""

from __future__ import annotations

import shlex
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import orjson
import pytest
from click.testing import CliRunner, Result

from kat_operator.cli_simulate import simulate
from kat_operator.simulation.report import BEGIN, END
from kat_operator.simulation.synthetic import Shape, from_shape
from kat_operator.simulation.trace import Trace

PAGE = Path(__file__).parents[4] / "docs" / "autoscaling.md"
COMMANDS = [line for line in PAGE.read_text().splitlines() if line.startswith("kat simulate ")]
LAWS = ["ours", "keda", "hpa", "apa", "llm-d", "static"]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "recorded.csv"
    rows = "\n".join(f"{number * 0.5},{200 + number % 700},{10 + number % 90}" for number in range(600))
    path.write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}\n")
    return path


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(simulate, [str(argument) for argument in arguments])


def test_all_laws_as_json_are_one_object(trace: Path) -> None:
    result = invoke("--trace", trace, "--format", "json")
    document = orjson.loads(result.stdout)
    assert list(document["policies"]) == LAWS
    assert {score["requests"] for score in document["policies"].values()} == {600}
    assert document["setting"]["max_replicas"] >= document["policies"]["static"]["most_replicas"]


def test_one_law_is_run_alone(trace: Path) -> None:
    result = invoke("--trace", trace, "--policy", "hpa", "--max-replicas", "3", "--format", "json")
    document = orjson.loads(result.stdout)
    assert list(document["policies"]) == ["hpa"]
    assert document["setting"]["max_replicas"] == 3


def test_the_same_seed_prints_the_same(trace: Path) -> None:
    arguments = ("--trace", trace, "--policy", "ours", "--max-replicas", "4", "--format", "json", "--seed", "3")
    assert invoke(*arguments).stdout == invoke(*arguments).stdout


def test_the_table_has_a_row_and_a_line_of_bars_for_each_law(trace: Path) -> None:
    lines = invoke("--trace", trace).stdout.splitlines()
    for law in LAWS:
        assert sum(line.split()[:1] == [law] for line in lines) == 2


def test_the_plot_is_a_file_with_a_line_for_each_law(trace: Path, tmp_path: Path) -> None:
    plot = tmp_path / "replicas.svg"
    assert invoke("--trace", trace, "--plot", plot).exit_code == 0
    texts = {element.text for element in ET.fromstring(plot.read_text()).iter() if element.text}
    assert texts >= {*LAWS, "requests/s"}


def test_a_benchmark_makes_replicas_slower(trace: Path, tmp_path: Path) -> None:
    benchmark = tmp_path / "engine.json"
    benchmark.write_bytes(orjson.dumps({"predictor": {"tokens_per_second": {"1": 5.0, "8": 20.0, "32": 40.0}}}))
    arguments = ("--trace", trace, "--policy", "hpa", "--max-replicas", "2", "--format", "json")
    fast, slow = (orjson.loads(invoke(*arguments, *more).stdout) for more in ((), ("--calibrate", benchmark)))
    assert slow["policies"]["hpa"]["attained"] < fast["policies"]["hpa"]["attained"]


@pytest.mark.parametrize("arguments", [("--synthetic", "burst"), ("--policy", "magic"), ("--intensity", "0")])
def test_what_does_not_go_together_is_refused(trace: Path, arguments: tuple[str, ...]) -> None:
    assert invoke("--trace", trace, *arguments).exit_code == 2


def test_a_file_that_is_no_trace_is_one_line_of_error(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    result = invoke("--trace", path)
    assert result.exit_code == 1
    assert "TIMESTAMP" in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_the_pages_commands_are_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("requests.csv", "bench/results/engine.json", "docs/autoscaling.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert simulate.make_context("simulate", shlex.split(command, comments=True)[2:]).params


def test_a_report_tries_as_many_seeds_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(name: str, *, intensity: float, seed: int) -> Trace:
        shape = Shape(120.0, lambda t: np.full_like(t, intensity), lambda t: np.full_like(t, 0.3))
        return from_shape(name, shape, warmup=60.0, seed=seed)

    monkeypatch.setattr("kat_operator.cli_simulate.make_trace", short)
    monkeypatch.setattr("kat_operator.cli_simulate.SHAPES", {"diurnal": None})
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    assert invoke("--report", page, "--seed", "5", "--seeds", "3").exit_code == 0
    assert "| diurnal x1 | 6, 7 |" in page.read_text()


def test_a_report_needs_a_page_with_its_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kat_operator.cli_simulate.SHAPES", {})
    page = tmp_path / "page.md"
    page.write_text("nothing")
    result = invoke("--report", page)
    assert result.exit_code == 1
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert invoke("--report", page).exit_code == 0
    assert page.read_text().startswith(f"before\n{BEGIN}")
    assert page.read_text().endswith(f"{END}\nafter\n")
    assert "old" not in page.read_text()
