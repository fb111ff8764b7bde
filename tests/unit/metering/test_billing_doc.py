"""docs/billing.md is recomputed: its example, its columns, its reasons, its commands."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import entry_points
from pathlib import Path

import click
import numpy as np
import pytest

from kat.usage_event import Mode, Segment, Status
from kat_metering.comparison import Compared, Comparison, Requests
from kat_metering.defaults import default_baselines, default_prices
from kat_metering.exports.columns import COLUMNS
from kat_metering.methods import LeftOut, Method, NoClaim
from kat_metering.money import plain
from kat_metering.prices import PriceBook, UsageLine
from kat_metering.savings import saving_of
from kat_metering.token_ratios import RatioBook, ShadowPairs, Stratum

DOCUMENT = (Path(__file__).parents[3] / "docs" / "billing.md").read_text("utf-8")
BOOK = PriceBook(default_prices())
HOUR = datetime(2026, 11, 24, 12, tzinfo=UTC)


def table(first_column: str, columns: int) -> list[list[str]]:
    """The cells of the table whose header begins so, without markup and thousands separators."""
    lines = DOCUMENT.splitlines()
    start = next(
        i for i, line in enumerate(lines) if line.startswith(f"| {first_column} |") and line.count("|") == columns + 1
    )
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([re.sub(r"[`,]", "", cell).strip() for cell in line.strip("|").split("|")])
    return rows


COSTS = table("segment", 4)
TOKENS = {Segment(name): int(tokens) for name, tokens, *_ in COSTS[:-1]}
EXAMPLE = UsageLine("KAT-V1-40B", Mode.ON, HOUR, TOKENS)


@pytest.mark.parametrize("row", COSTS[:-1], ids=lambda row: row[0])
def test_each_segment_of_the_example_has_its_price_and_cost(row: list[str]) -> None:
    segment = Segment(row[0])
    price = BOOK.find(EXAMPLE.model, segment, EXAMPLE.mode, HOUR)
    assert price is not None
    rated = BOOK.rate([UsageLine(EXAMPLE.model, EXAMPLE.mode, HOUR, {segment: TOKENS[segment]})])
    assert (Decimal(row[2]), row[3]) == (price.per_million, plain(rated.cost))


def test_the_total_of_the_example_is_its_cost() -> None:
    name, tokens, _, cost = COSTS[-1]
    assert (name, int(tokens), cost) == ("total", sum(TOKENS.values()), plain(BOOK.rate([EXAMPLE]).cost))


@pytest.mark.parametrize("row", table("baseline", 6), ids=lambda row: f"{row[0]}-{row[1]}")
def test_each_saving_of_the_example_is_what_the_code_computes(row: list[str]) -> None:
    name, method, tokens, cost, saved, label = row
    baseline = next(each for each in default_baselines() if each.name == name)
    comparison = Comparison(BOOK, baseline, Method(method), RatioBook(baseline, {}, seed=1))
    example = Requests(1, Stratum(EXAMPLE.model, Mode.ON, "humaneval", "0-255"), Status.OK, EXAMPLE)
    compared = comparison.compare(example)
    assert isinstance(compared, Compared)
    saving = saving_of([compared])
    assert [saving.baseline_completion_tokens, plain(saving.baseline_cost), plain(saving.savings)] == [
        int(tokens),
        cost,
        saved,
    ]
    assert saving.token_basis == label


def test_the_dense_baseline_costs_as_many_times_as_much_as_the_document_says() -> None:
    dense = next(each for each in default_baselines() if each.name == "dense-200b")
    theirs = {price.segment: price.per_million for price in dense.prices}
    ours = BOOK.find("KAT-V1-40B", Segment.ANSWER, Mode.ON, HOUR)
    assert ours is not None
    times = Fraction(theirs[Segment.ANSWER]) / Fraction(ours.per_million)
    assert f"{float(times):.2f} times as much" in DOCUMENT


def test_the_judged_saving_of_the_example_is_what_the_code_computes() -> None:
    stratum = Stratum("KAT-V1-40B", Mode.ON, "humaneval", "0-255")
    verdicts = np.array([1] * 30 + [0] * 10, dtype=np.int8)
    sample = ShadowPairs(np.full(40, 2_000), np.full(40, 5_000), verdicts, ("a judge",))
    baseline = next(baseline for baseline in default_baselines() if baseline.name == "kat-v1-200b")
    comparison = Comparison(BOOK, baseline, Method.L3, RatioBook(baseline, {stratum: sample}, seed=1))
    usage = UsageLine(stratum.model, stratum.mode, HOUR, dict.fromkeys(Segment, 0) | {Segment.ANSWER: 2_000})
    compared = comparison.compare(Requests(1, stratum, Status.OK, usage))
    assert isinstance(compared, Compared)
    assert f"= {float(compared.ratio)}, and the" in DOCUMENT
    assert f"saving by L3 {plain(saving_of([compared]).savings)} USD" in DOCUMENT


def test_the_document_names_every_baseline() -> None:
    assert all(f"`{baseline.name}`" in DOCUMENT for baseline in default_baselines())


@pytest.mark.parametrize("reason", [*LeftOut, *NoClaim])
def test_every_reason_is_documented(reason: str) -> None:
    assert f"`{reason}`" in DOCUMENT


def test_the_columns_of_an_export_are_documented_in_their_order() -> None:
    listed = DOCUMENT.partition("add new ones at the end:")[2].partition("An empty `cost`")[0]
    assert re.findall(r"`(\w+)`", listed) == list(COLUMNS)


COMMANDS = re.findall(r"^kat .+$|(?<=`)kat savings estimate [^`]+(?=`)", DOCUMENT, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_document_is_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("prices.yaml", "prompts.jsonl", "gpus.csv"):
        (tmp_path / file).touch()
    _, name, *arguments = shlex.split(line)
    [entry] = entry_points(group="kat.commands", name=name)
    command = entry.load()
    assert isinstance(command, click.Command)
    if arguments and isinstance(command, click.Group) and arguments[0] in command.commands:
        command = command.commands[arguments.pop(0)]
    # Parsing raises a usage error for what the command does not know; nothing is run.
    with command.make_context(name, list(arguments), resilient_parsing=False) as context:
        assert context.params
