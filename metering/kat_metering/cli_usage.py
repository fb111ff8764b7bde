"""`kat usage` and `kat savings`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import click
from pydantic import ValidationError

from kat_metering import cli_tables
from kat_metering.cli_client import Command, connection, get, metering
from kat_metering.cli_gpu_cost import gpu_cost_report
from kat_metering.cli_output import format_option, show
from kat_metering.defaults import article
from kat_metering.estimate import Overrides, UnknownTaskError, estimate_for_task
from kat_metering.methods import Method

# By value: click would take an enum by the names of its members.
_METHODS = [each.value for each in Method]


def _figure(text: str) -> Decimal:
    """A number, exactly: 1000000, 1e6 or 2.5."""
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise click.BadParameter(f"{text!r} is not a number") from error


def _report(command: Command) -> Command:
    options = (
        click.option("--tenant", help="Default: every tenant that the token may see."),
        click.option("--from", "start", help="Date, or time on a whole hour. Default: the first of this month."),
        click.option("--to", "end", help="Exclusive. Default: the end of this hour."),
        click.option(
            "--group-by",
            default="tenant,model,mode",
            show_default=True,
            help="Some of tenant,day,mode,mode_source,model,project,key,task,status.",
        ),
        format_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@_report
@connection
@click.pass_context
def usage(
    context: click.Context,
    *,
    tenant: str | None,
    start: str | None,
    end: str | None,
    group_by: str,
    form: str,
    url: str | None,
    token: str | None,
) -> None:
    """Show requests, tokens by segment and cost."""
    if context.invoked_subcommand is not None:
        return
    params = {"tenant": tenant, "from": start, "to": end, "group_by": group_by}
    with metering(url, token) as client:
        report = get(client, "/v1/usage", params)
    show(report, form, report["rows"], cli_tables.usage_table)


usage.add_command(gpu_cost_report)


@click.group(invoke_without_command=True)
@_report
@click.option("--method", type=click.Choice(_METHODS), help="L1: equal tokens. L2 (default): token ratios. L3: judged.")
@click.option("--baseline", help="What to compare with. Default: kat-v1-200b.")
@connection
@click.pass_context
def savings(
    context: click.Context,
    *,
    tenant: str | None,
    start: str | None,
    end: str | None,
    group_by: str,
    form: str,
    method: str | None,
    baseline: str | None,
    url: str | None,
    token: str | None,
) -> None:
    """Show what was saved against a baseline, by which method, and what the figures rest on."""
    if context.invoked_subcommand is not None:
        return
    params = {"tenant": tenant, "from": start, "to": end, "group_by": group_by}
    with metering(url, token) as client:
        report = get(client, "/v1/savings", {**params, "method": method, "baseline": baseline})
    show(report, form, report["rows"], cli_tables.savings_table)


@savings.command()
@click.option("--task", default="humaneval", show_default=True, help="aime2024, livecodebench or humaneval.")
@click.option("--calls", type=_figure, metavar="NUMBER", help="Number of calls, such as 1e6.")
@click.option("--tokens-ours", type=_figure, metavar="NUMBER", help="Completion tokens of one call of ours.")
@click.option(
    "--tokens-baseline", type=_figure, metavar="NUMBER", help="Completion tokens of one call of the baseline."
)
@click.option("--gpu-hour-price", type=_figure, metavar="NUMBER", help="Price of one GPU-hour.")
@click.option(
    "--tokens-per-gpu-second", type=_figure, metavar="NUMBER", help="Tokens that one GPU generates in a second."
)
@format_option
def estimate(*, task: str, form: str, **figures: Decimal | None) -> None:
    """Show what a number of calls would save by the cited figures of the introduction article, step by step.

    Every figure can be replaced. Needs no running platform: nothing here is measured.
    """
    try:
        overrides = Overrides.model_validate(figures)
        report = estimate_for_task(article(), task, overrides)
    except UnknownTaskError as error:
        raise click.BadParameter(str(error), param_hint="--task") from error
    except ValidationError as error:
        detail = error.errors()[0]
        raise click.BadParameter(detail["msg"], param_hint=f"--{detail['loc'][0]}".replace("_", "-")) from error
    wire = report.model_dump(mode="json")
    show(wire, form, [*wire["inputs"], *wire["steps"]], cli_tables.estimate_table)
