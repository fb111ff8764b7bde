"""`kat shadow`: measure how many tokens the baseline needs, and how good our answers are beside its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
import httpx
from rich.console import RenderableType

from kat_metering.cli_client import checked, connection, get, metering
from kat_metering.cli_output import format_option, show
from kat_metering.cli_price_tables import plain_table
from kat_metering.shadow import Prompt, PromptFileError, Sample, drawn, read_prompts
from kat_metering.shadow_run import Endpoint, Endpoints, ShadowRun, Skipped, Tally

_ANSWER_TIMEOUT: Final = httpx.Timeout(600, connect=10)
_SENT_AT_ONCE: Final = 100

_SKIPPED: Final = {
    Skipped.NO_CONSENT: "without consent",
    Skipped.CUT_OFF: "cut off by max_tokens",
    Skipped.NO_MODE: "without a mode",
    Skipped.FAILED: "failed",
}


def _share(_: click.Context, __: click.Parameter, text: str) -> float:
    """A share, as a percentage or as a number: 2% or 0.02."""
    number, percent = (text[:-1], 100) if text.endswith("%") else (text, 1)
    try:
        share = float(number) / percent
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a share such as 2% or 0.02") from error
    if not 0 < share <= 1:
        raise click.BadParameter("must be more than 0 and at most 100%")
    return share


@click.group()
def shadow() -> None:
    """Measure token ratios and the quality of answers against a real baseline."""


@shadow.command()
@click.option(
    "--prompts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help='JSON Lines: {"messages": […], "consent": true, "task": "…", "reference": "…"}. Without consent: not sent.',
)
@click.option("--sample", callback=_share, default="100%", show_default=True, help="Share of the prompts to send.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same one draws the same prompts.")
@click.option(
    "--service", required=True, envvar="KAT_SHADOW_SERVICE", show_envvar=True, help="Ours, such as http://…/v1."
)
@click.option("--service-model", required=True, help="Its model's name.")
@click.option("--service-key", envvar="KAT_SHADOW_SERVICE_KEY", show_envvar=True)
@click.option("--baseline", "url_of_baseline", required=True, help="An OpenAI-compatible API, such as https://…/v1.")
@click.option("--baseline-model", required=True, help="Its model's name.")
@click.option("--baseline-key", envvar="KAT_SHADOW_BASELINE_KEY", show_envvar=True)
@click.option("--baseline-name", default="kat-v1-200b", show_default=True, help="What metering calls the baseline.")
@click.option("--judge", help="An OpenAI-compatible API whose model compares the answers; not asked with a reference.")
@click.option("--judge-model")
@click.option("--judge-key", envvar="KAT_SHADOW_JUDGE_KEY", show_envvar=True)
@click.option("--at-once", type=click.IntRange(1, 100), default=4, show_default=True, help="Prompts in flight.")
@connection
def run(
    *,
    prompts: Path,
    sample: float,
    seed: int,
    service: str,
    service_model: str,
    service_key: str | None,
    url_of_baseline: str,
    baseline_model: str,
    baseline_key: str | None,
    baseline_name: str,
    judge: str | None,
    judge_model: str | None,
    judge_key: str | None,
    at_once: int,
    url: str | None,
    token: str | None,
) -> None:
    """Send a sample of consented prompts to our service and to a baseline.

    Token counts, latencies and verdicts go to metering; no prompt and no answer is stored anywhere.
    """
    if (judge is None) != (judge_model is None):
        raise click.UsageError("--judge and --judge-model go together")
    endpoints = Endpoints(
        service=Endpoint(service, service_model, service_key),
        baseline=Endpoint(url_of_baseline, baseline_model, baseline_key),
        judge=Endpoint(judge, judge_model, judge_key) if judge is not None and judge_model is not None else None,
    )
    # Before anything is spent on answers: every line can be read, metering is there and knows the baseline.
    chosen = _chosen(prompts, sample, seed)
    with metering(url, token) as client:
        get(client, "/v1/shadow/samples", {"baseline": baseline_name})
        keep = _Delivery(client, baseline_name)
        try:
            tally = asyncio.run(_send(endpoints, chosen, keep, at_once))
        finally:
            keep.deliver()
    _say(tally)


def _chosen(file: Path, share: float, seed: int) -> list[Prompt]:
    try:
        with file.open("rb") as lines:
            return list(drawn(read_prompts(lines), share, seed))
    except PromptFileError as error:
        raise click.ClickException(f"{file}: {error}") from error


async def _send(endpoints: Endpoints, prompts: list[Prompt], keep: _Delivery, at_once: int) -> Tally:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=_ANSWER_TIMEOUT, limits=limits) as client:
        shadow_run = ShadowRun(endpoints, client, keep, now=lambda: datetime.now(UTC), monotonic=time.monotonic)
        await shadow_run.run(prompts, at_once=at_once)
    return shadow_run.tally


class _Delivery:
    """Samples on their way to metering, some at a time, so that an interrupted run loses none that it paid for."""

    def __init__(self, client: httpx.Client, baseline: str) -> None:
        self._client = client
        self._baseline = baseline
        self._waiting: list[Sample] = []

    def __call__(self, sample: Sample) -> None:
        self._waiting.append(sample)
        if len(self._waiting) >= _SENT_AT_ONCE:
            self.deliver()

    def deliver(self) -> None:
        waiting = iter(self._waiting)
        while batch := list(islice(waiting, _SENT_AT_ONCE)):
            body = {"baseline": self._baseline, "samples": [sample.model_dump(mode="json") for sample in batch]}
            checked(self._client.post("/v1/shadow/samples", json=body))
        self._waiting.clear()


def _say(tally: Tally) -> None:
    click.echo(f"{tally.samples} samples, {tally.samples - tally.unjudged} of them judged")
    for reason, count in tally.skipped.items():
        click.echo(f"{count} prompts left out: {_SKIPPED[reason]}", err=True)
    for error, count in tally.errors.most_common():
        click.echo(f"{count} times: {error}", err=True)
    if not tally.samples:
        raise click.ClickException("no prompt was answered by both")


@shadow.command()
@click.option("--baseline", default="kat-v1-200b", show_default=True, help="What metering calls the baseline.")
@format_option
@connection
def status(*, baseline: str, form: str, url: str | None, token: str | None) -> None:
    """Show the samples by stratum, and whether there are enough of them."""
    with metering(url, token) as client:
        summary = get(client, "/v1/shadow/samples", {"baseline": baseline})
    show(summary, form, summary["strata"], _table)


def _table(summary: Mapping[str, Any]) -> RenderableType:
    counts = ("samples", "judged", "no worse", "ours", "baseline", "ratio")
    table = plain_table("model", "mode", "task", "prompt", *counts, numbers=counts)
    for each in summary["strata"]:
        ratio = each["tokens_baseline"] / each["tokens_ours"] if each["tokens_ours"] else None
        enough = "" if each["samples"] >= summary["minimum"] else f" of {summary['minimum']}"
        table.add_row(
            each["model"],
            each["mode"],
            each["task"] or "-",
            each["prompt_bucket"],
            f"{each['samples']:,}{enough}",
            f"{each['judged']:,}",
            f"{each['no_worse']:,}",
            f"{each['tokens_ours']:,}",
            f"{each['tokens_baseline']:,}",
            "" if ratio is None else f"{ratio:.2f}",
        )
    return table
