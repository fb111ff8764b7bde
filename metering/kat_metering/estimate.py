"""What a number of calls would save, from figures given rather than measured; every step of the arithmetic is shown."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from kat_metering.defaults import Article, ArticleTask
from kat_metering.money import Money, to_decimal

_SECONDS_PER_HOUR = 3600
_PLACES = 6

Figure = Annotated[Decimal, Field(gt=0, le=10**18, max_digits=36, decimal_places=12, allow_inf_nan=False)]
"""A figure that may be given in place of a cited one."""


class UnknownTaskError(ValueError):
    """The article has no figures for this task."""


class Overrides(BaseModel):
    """Figures that take the place of the article's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls: Figure | None = None
    tokens_ours: Figure | None = None
    """Completion tokens of one call."""
    tokens_baseline: Figure | None = None
    gpu_hour_price: Figure | None = None
    tokens_per_gpu_second: Figure | None = None
    """Throughput of one GPU, taken for both models."""


class EstimateInput(BaseModel):
    """One figure that the estimate rests on."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: Money
    """To six places."""
    unit: str
    label: Literal["cited", "derived", "given"]
    source: str


class EstimateStep(BaseModel):
    """One step of the arithmetic."""

    model_config = ConfigDict(frozen=True)

    name: str
    formula: str
    value: Money
    """To six places; the steps themselves are computed with exact fractions."""
    unit: str


class TokenTableRow(BaseModel):
    """A row of the article's token table."""

    model_config = ConfigDict(frozen=True)

    task: str
    title: str
    tokens_ours: int
    tokens_baseline: int
    saved_percent: Money
    label: Literal["cited"] = "cited"


class EstimateReport(BaseModel):
    """The estimate. Negative where the baseline needs fewer tokens."""

    model_config = ConfigDict(frozen=True)

    task: str
    compared_with: str
    inputs: list[EstimateInput]
    steps: list[EstimateStep]
    savings: Money
    currency: str
    token_table: list[TokenTableRow]
    source: str
    assumptions: list[str]


def estimate_for_task(article: Article, task: str, overrides: Overrides) -> EstimateReport:
    """Tokens saved, the GPU time that they would have taken, and its price. Raises UnknownTaskError."""
    cited = article.task(task)
    if cited is None:
        known = ", ".join(each.task for each in article.tasks)
        raise UnknownTaskError(f"no figures for task {task!r}; known: {known}")
    figures = _Figures(article, cited, overrides)
    per_call = figures["tokens_baseline"] - figures["tokens_ours"]
    total = per_call * figures["calls"]
    hours = total / figures["tokens_per_gpu_second"] / _SECONDS_PER_HOUR
    money = hours * figures["gpu_hour_price"]
    token_price = figures["gpu_hour_price"] * 1_000_000 / (figures["tokens_per_gpu_second"] * _SECONDS_PER_HOUR)
    share = per_call / figures["tokens_baseline"] * 100
    currency, gpu = article.example.currency, article.example.gpu
    steps = (
        ("tokens saved per call", "tokens_baseline - tokens_ours", per_call, "tokens"),
        ("share of the baseline's tokens", "tokens saved per call / tokens_baseline", share, "%"),
        ("tokens saved", "tokens saved per call x calls", total, "tokens"),
        ("GPU time saved", "tokens saved / tokens_per_gpu_second / 3600", hours, f"{gpu}-hours"),
        ("price of generated tokens", "gpu_hour_price / (tokens_per_gpu_second x 3600) x 1e6", token_price,
         f"{currency} per million"),
        ("savings", "GPU time saved x gpu_hour_price", money, currency),
    )  # fmt: skip
    return EstimateReport(
        task=task,
        compared_with=article.compared_with,
        inputs=figures.inputs,
        steps=[
            EstimateStep(name=name, formula=formula, value=to_decimal(value, _PLACES), unit=unit)
            for name, formula, value, unit in steps
        ],
        savings=to_decimal(money, _PLACES),
        currency=currency,
        token_table=[_table_row(each) for each in article.tasks],
        source=article.source,
        assumptions=[
            f"Cited figures compare KAT-V1-40B with {article.compared_with} and are averages that the article rounds.",
            "One GPU generates as many tokens a second for either model.",
            "Only generated tokens are counted, and every GPU hour saved is an hour not paid for.",
        ],
    )


class _Figures:
    """The figures to use, as exact fractions, and where each of them comes from."""

    def __init__(self, article: Article, task: ArticleTask, overrides: Overrides) -> None:
        example, gpu = article.example, article.example.gpu
        derived = (
            f"derived: {article.task_of_example.theirs - article.task_of_example.ours:,} tokens x {example.calls:,} calls"
            f" / ({example.saved} {example.currency} / {example.gpu_hour_price} {example.currency} per {gpu}-hour) / 3600 s"
        )
        cited: tuple[tuple[str, Fraction, str, Literal["cited", "derived"], str], ...] = (
            ("calls", Fraction(example.calls), "calls", "cited", article.source),
            ("tokens_ours", Fraction(task.ours), "tokens per call", "cited", article.source),
            ("tokens_baseline", Fraction(task.theirs), "tokens per call", "cited", article.source),
            ("gpu_hour_price", Fraction(example.gpu_hour_price), f"{example.currency} per {gpu}-hour", "cited",
             article.source),
            ("tokens_per_gpu_second", article.tokens_per_gpu_second, f"tokens/s per {gpu}", "derived",
             f"{derived}; {article.source}"),
        )  # fmt: skip
        self._values: dict[str, Fraction] = {}
        self.inputs: list[EstimateInput] = []
        for name, value, unit, label, source in cited:
            override: Decimal | None = getattr(overrides, name)
            exact = value if override is None else Fraction(override)
            self._values[name] = exact
            self.inputs.append(
                EstimateInput(
                    name=name,
                    value=to_decimal(exact, _PLACES),
                    unit=unit,
                    label=label if override is None else "given",
                    source=source if override is None else "given by the caller",
                )
            )

    def __getitem__(self, name: str) -> Fraction:
        return self._values[name]


def _table_row(task: ArticleTask) -> TokenTableRow:
    return TokenTableRow(
        task=task.task,
        title=task.title,
        tokens_ours=task.ours,
        tokens_baseline=task.theirs,
        saved_percent=to_decimal(task.saved_share * 100, _PLACES),
    )
