"""Runs as a table for people, as JSON, and as the marked section of a page."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kat_operator.simulation.plot import bars, requests_per_second, sampled
from kat_operator.simulation.run import GOAL, LAWS, Run, Setting
from kat_operator.simulation.score import Score

BEGIN: Final = "<!-- simulation: written by `kat simulate --report`; do not edit -->"
END: Final = "<!-- simulation: end -->"
SAVING_GOAL: Final = 0.8
"""Of the static fleet's GPU-hours: what our policy may use."""
_BAR_COLUMNS: Final = 60
_POLICY_NAMES: Final = {
    "ours": "**ours**",
    "keda": "KEDA on the queue",
    "hpa": "HPA on requests",
    "apa": "AIBrix APA",
    "llm-d": "llm-d SLO",
    "static": "static",
    "peak": "static, for the peak",
    "foresight": "*with foresight*",
}
_PUBLISHED: Final = frozenset(LAWS) - {"ours"}


class NoSection(Exception):
    """The page has no marked section to write."""


def as_table(runs: Sequence[Run]) -> RenderableType:
    """A row a law, and beneath it the load and each law's replicas over time."""
    trace = runs[0].trace
    table = Table(title=f"{trace.name}: {runs[0].score.requests:,} requests in {runs[0].score.hours:.1f} h", box=None)
    for name in ("law", "attained", "think-on", "think-off", "p50 s", "p99 s", "refused", "GPU-h", "events", "flaps/h"):
        table.add_column(name, justify="left" if name == "law" else "right", no_wrap=True)
    for run in runs:
        score = run.score
        table.add_row(
            run.law,
            _percent(score.attained),
            _percent(score.attained_on),
            _percent(score.attained_off),
            _seconds(score.p50),
            _seconds(score.p99),
            f"{score.refused:,}",
            f"{score.gpu_hours:.2f}",
            str(score.scale_events),
            f"{score.flaps_per_hour:.1f}",
        )
    rate = requests_per_second(trace, _BAR_COLUMNS)
    highest = max(run.score.most_replicas for run in runs)
    lines = Text(f"{'requests/s':>12} {bars(rate)} {rate.max():.1f}\n")
    for run in runs:
        values = sampled(run.replicas, trace.warmup_seconds, trace.seconds, _BAR_COLUMNS)
        lines.append(f"{run.law:>12} {bars(values, highest)} {run.score.most_replicas}\n")
    return Group(table, Text(), lines)


def as_json(runs: Sequence[Run], setting: Setting) -> dict[str, Any]:
    """One object: what was run, under which setting, and each law's score."""
    trace = runs[0].trace
    bounds = setting.bounds
    return {
        "trace": {
            "name": trace.name,
            "requests": len(trace),
            "seconds": round(trace.seconds, 3),
            "warmup_seconds": round(trace.warmup_seconds, 3),
            "think_on_share": round(float(trace.thinks.mean()), 4) if len(trace) else None,
        },
        "setting": {
            "seed": setting.seed,
            "min_replicas": bounds.min,
            "max_replicas": bounds.max,
            "gpus_per_replica": setting.hardware.gpus,
            "startup_seconds": list(setting.hardware.startup_seconds),
            "kv_tokens": setting.hardware.kv_tokens,
            "requests_per_replica": setting.autoscaling.requests_per_replica,
            "objectives": setting.autoscaling.objectives.model_dump(by_alias=True),
        },
        "policies": {run.law: _rounded(run.score) for run in runs},
    }


def as_markdown(cells: Sequence[Sequence[Run]], seeds: Sequence[Sequence[Run]] = ()) -> str:
    """The page's section: for each trace a table of all laws, then other seeds, and beneath all what was lost.

    Args:
        cells: Runs of each trace.
        seeds: The policy's and the static fleet's runs of a made-up trace under each seed, traces of a name together.
    """
    parts = [_trace_section(runs) for runs in cells]
    if seeds:
        parts.append(_seeds_section(seeds))
    return "\n\n".join([*parts, "### Where our policy falls short", _losses([*cells, *seeds])])


def write_section(page: Path, text: str) -> None:
    """Put the text between the page's markers. Raises NoSection where it has none."""
    content = page.read_text(encoding="utf-8")
    before, found, rest = content.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise NoSection(f"{page} has no section between {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _trace_section(runs: Sequence[Run]) -> str:
    score = runs[0].score
    static = _of(runs, "static")
    lines = [
        f"### {runs[0].trace.name}",
        "",
        f"{score.requests:,} requests in {score.hours:.1f} h; the static fleet has {static.most_replicas} replicas.",
        "",
        "| law | objective attained | think-on | think-off | p50 | p99 | GPU-hours | of static | scale events | flaps/h |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for run in runs:
        of = run.score
        lines.append(
            f"| {_POLICY_NAMES[run.law]} | {_percent(of.attained)} | {_percent(of.attained_on)} "
            f"| {_percent(of.attained_off)} | {_seconds(of.p50)} s | {_seconds(of.p99)} s | {of.gpu_hours:.2f} "
            f"| {of.gpu_hours / static.gpu_hours:.0%} | {of.scale_events} | {of.flaps_per_hour:.1f} |"
        )
    return "\n".join(lines)


def _seeds_section(seeds: Sequence[Sequence[Run]]) -> str:
    lines = [
        "### Other seeds",
        "",
        "| trace | seeds | attained, median | worst | GPU-hours of static, median | worst |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, group in itertools.groupby(seeds, key=lambda runs: runs[0].trace.name):
        cells = list(group)
        attained = [_of(runs, "ours").attained for runs in cells]
        cost = [_of(runs, "ours").gpu_hours / _of(runs, "static").gpu_hours for runs in cells]
        lines.append(
            f"| {name} | {', '.join(str(runs[0].seed) for runs in cells)} | {_percent(median(attained))} "
            f"| {_percent(min(attained))} | {median(cost):.0%} | {max(cost):.0%} |"
        )
    return "\n".join(lines)


def losses(runs: Sequence[Run]) -> list[str]:
    """What our policy misses of its goals on one trace, a sentence each."""
    ours, static = _of(runs, "ours"), _of(runs, "static")
    found = []
    if ours.attained < GOAL:
        found.append(f"attains {_percent(ours.attained)}, below {GOAL:.0%}")
    if ours.gpu_hours > SAVING_GOAL * static.gpu_hours:
        found.append(
            f"takes {ours.gpu_hours / static.gpu_hours:.1%} of the static fleet's GPU-hours, above {SAVING_GOAL:.0%}"
        )
    found += [
        f"{run.law} attains more ({_percent(run.score.attained)}) with fewer GPU-hours ({run.score.gpu_hours:.2f})"
        for run in runs
        if run.law in _PUBLISHED and run.score.attained > ours.attained and run.score.gpu_hours < ours.gpu_hours
    ]
    return found


def _losses(cells: Sequence[Sequence[Run]]) -> str:
    lines = [f"- {_title(runs[0])}: {loss}." for runs in cells for loss in losses(runs)]
    return "\n".join(lines) or "On none of these traces."


def _title(run: Run) -> str:
    return run.trace.name + (f", seed {run.seed}" if run.seed else "")


def _of(runs: Sequence[Run], law: str) -> Score:
    return next(run.score for run in runs if run.law == law)


def _rounded(score: Score) -> Mapping[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(score).items()}


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
