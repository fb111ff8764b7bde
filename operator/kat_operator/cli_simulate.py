"""`kat simulate`: what an autoscaling law would have done, and what it would have cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
import orjson
from rich.console import Console

from kat_operator.api import AutoscalingSpec, ObjectivesSpec
from kat_operator.simulation.foresight import with_foresight
from kat_operator.simulation.hardware import BadBenchmark, Hardware, calibrated
from kat_operator.simulation.plot import write_svg
from kat_operator.simulation.report import NoSection, as_json, as_markdown, as_table, write_section
from kat_operator.simulation.run import LAWS, PEAK_SECONDS, Run, Setting, simulate_law, static_fleet, with_room
from kat_operator.simulation.synthetic import SHAPES, make_trace
from kat_operator.simulation.trace import THINK_ON_SHARE, BadTrace, Trace, read_trace

_PAGE: Final = "docs/autoscaling.md"
_INTENSITIES: Final = ((1.0, 1.0), (4.0, 1.0), (16.0, 1.0), (24.0, 24.0))
"""Of a recorded trace, in a report, and how much slower it is played: three times as recorded, and once an hour's ups
and downs as a day's, at the recorded rate."""
_WIDTH: Final = 110
"""Columns of the table; a terminal that is narrower wraps lines rather than losing figures."""
_NAMES: Final = (*LAWS, "static")
_OBJECTIVES: Final = ObjectivesSpec()


@click.command(short_help="Compare autoscaling laws on a trace, without a cluster.")
@click.option(
    "--trace",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV with TIMESTAMP,ContextTokens,GeneratedTokens and perhaps Mode.",
)
@click.option("--synthetic", type=click.Choice(list(SHAPES)), help="A made-up trace. [default: diurnal]")
@click.option("--policy", type=click.Choice([*_NAMES, "all"]), default="all", show_default=True)
@click.option("--intensity", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--passes",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="How often to play a file; the last counts.",
)
@click.option(
    "--stretch",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How much slower to play a file.",
)
@click.option(
    "--think-on-share",
    type=click.FloatRange(min=0, max=1),
    default=THINK_ON_SHARE,
    show_default=True,
    help="Of requests of a file without modes.",
)
@click.option(
    "--objective-on",
    type=click.FloatRange(min=0, min_open=True),
    default=_OBJECTIVES.time_to_first_answer_token_on_seconds,
    show_default=True,
    help="Seconds to the first answer token of a request that thinks.",
)
@click.option(
    "--objective-off",
    type=click.FloatRange(min=0, min_open=True),
    default=_OBJECTIVES.time_to_first_answer_token_off_seconds,
    show_default=True,
    help="The same of one that does not.",
)
@click.option("--min-replicas", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--max-replicas", type=click.IntRange(min=1), help="[default: half as many again as the static fleet]")
@click.option(
    "--startup",
    type=(click.FloatRange(min=0), click.FloatRange(min=0)),
    metavar="LEAST MOST",
    help="Seconds of a cold start. [default: 120 480]",
)
@click.option(
    "--calibrate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Replicas as fast as this result of bench/engine.py.",
)
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write replicas over time as SVG.")
@click.option(
    "--report",
    is_flag=False,
    flag_value=_PAGE,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"Run every law on every trace and write the table into this page. [default: {_PAGE}]",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many seeds of each made-up trace a report tries, from --seed on.",
)
def simulate(
    *,
    file: Path | None,
    synthetic: str | None,
    policy: str,
    intensity: float,
    output: str,
    plot: Path | None,
    report: Path | None,
    seeds: int,
    **options: Any,
) -> None:
    """Play a trace against a queueing model of replicas, with one autoscaling law or all of them.

    `ours` is the operator's own policy, the code that runs in a cluster. `static` is the smallest constant fleet that
    answers 99 % of requests within their objective. docs/autoscaling.md has the laws and what is assumed.
    """
    if file is not None and synthetic is not None:
        raise click.UsageError("name either --trace or --synthetic")
    try:
        setting = _setting(options)
        if report is not None:
            cells = list(_every_cell(file, setting, options))
            write_section(report, as_markdown(cells, list(_other_seeds(seeds, setting, options))))
            return
        trace = _trace(file, synthetic or "diurnal", intensity, options)
    except (BadTrace, BadBenchmark, NoSection) as fault:
        raise click.ClickException(str(fault)) from fault
    runs, setting = _runs(trace, _NAMES if policy == "all" else (policy,), setting, options["max_replicas"])
    if plot is not None:
        write_svg(plot, runs)
    if output == "json":
        click.echo(orjson.dumps(as_json(runs, setting), option=orjson.OPT_INDENT_2))
    else:
        Console(width=_WIDTH).print(as_table(runs))


def _setting(options: dict[str, Any]) -> Setting:
    hardware = calibrated(options["calibrate"]) if options["calibrate"] else Hardware()
    if options["startup"] is not None:
        hardware = replace(hardware, startup_seconds=options["startup"])
    autoscaling = AutoscalingSpec(
        objectives=ObjectivesSpec(
            time_to_first_answer_token_on_seconds=options["objective_on"],
            time_to_first_answer_token_off_seconds=options["objective_off"],
        ),
        requests_per_replica=hardware.max_concurrent,
    )
    return Setting(
        hardware=hardware,
        autoscaling=autoscaling,
        min_replicas=options["min_replicas"],
        seed=options["seed"],
    )


def _trace(file: Path | None, synthetic: str, intensity: float, options: dict[str, Any]) -> Trace:
    if file is None:
        return make_trace(synthetic, intensity=intensity, seed=options["seed"])
    return read_trace(
        file,
        intensity=intensity,
        passes=options["passes"],
        stretch=options["stretch"],
        think_on_share=options["think_on_share"],
        seed=options["seed"],
    )


def _every_cell(file: Path | None, setting: Setting, options: dict[str, Any]) -> Iterator[list[Run]]:
    if file is not None:
        for intensity, stretch in _INTENSITIES:
            trace = _trace(file, "", intensity, {**options, "stretch": stretch})
            runs, bounded = _runs(trace, _NAMES, setting, options["max_replicas"])
            # Played slower, a recording is so long that its bounds would take longer than all else.
            yield [*runs, *(_bounds(trace, runs[-1], bounded) if stretch == 1 else ())]
    for name in SHAPES:
        yield _runs(_trace(None, name, 1.0, options), _NAMES, setting, options["max_replicas"])[0]


def _bounds(trace: Trace, static: Run, setting: Setting) -> list[Run]:
    """What to hold a recorded trace's figures against: the fleet sized for its peak, and foresight."""
    with Console(stderr=True).status(f"{trace.name}: bounds"):
        return [
            static_fleet(trace, setting, window=PEAK_SECONDS),
            with_foresight(trace, setting, most=static.score.most_replicas),
        ]


def _other_seeds(count: int, setting: Setting, options: dict[str, Any]) -> Iterator[list[Run]]:
    for name in SHAPES if count > 1 else ():
        for seed in range(setting.seed + 1, setting.seed + count):
            trace = _trace(None, name, 1.0, {**options, "seed": seed})
            yield _runs(trace, ("ours", "static"), replace(setting, seed=seed), options["max_replicas"])[0]


def _runs(
    trace: Trace, names: tuple[str, ...], setting: Setting, max_replicas: int | None
) -> tuple[list[Run], Setting]:
    """The runs of these laws, and the setting with the bounds that they had."""
    runs = {}
    with Console(stderr=True).status("") as status:
        if max_replicas is None or "static" in names:
            status.update(f"{trace.name}: static")
            runs["static"] = static_fleet(trace, setting)
        setting = (
            with_room(setting, runs["static"]) if max_replicas is None else replace(setting, max_replicas=max_replicas)
        )
        for name in names:
            if name != "static":
                status.update(f"{trace.name}: {name}")
                runs[name] = simulate_law(trace, name, setting)
    return [runs[name] for name in names], setting
