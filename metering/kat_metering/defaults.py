"""The data files that ship with metering: default prices, default baselines, and the article's figures."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib import resources
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from kat.usage_event import Segment
from kat_metering.baselines import Baseline, BaselinePrice, RatioLabel, TokenRatio
from kat_metering.price_files import parse_prices, read_document
from kat_metering.prices import Currency, PerMillion, Price, Source

_PROMPT = (Segment.PROMPT, Segment.PROMPT_CACHED)


class ArticleTask(BaseModel):
    """Average completion tokens of one task, as the article gives them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    title: str
    ours: Annotated[int, Field(gt=0)]
    theirs: Annotated[int, Field(gt=0)]

    @property
    def saved_share(self) -> Fraction:
        return Fraction(self.theirs - self.ours, self.theirs)


class ArticleExample(BaseModel):
    """The article's example of money saved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    calls: Annotated[int, Field(gt=0)]
    gpu: str
    gpu_hour_price: Annotated[Decimal, Field(gt=0)]
    currency: Currency
    saved: Annotated[Decimal, Field(gt=0)]


class Article(BaseModel):
    """The figures of the article that introduces KAT-V1-40B. All of them are cited, none measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Source
    source_date: date
    compared_with: str
    tasks: tuple[ArticleTask, ...]
    example: ArticleExample

    def task(self, name: str) -> ArticleTask | None:
        return next((task for task in self.tasks if task.task == name), None)

    @property
    def task_of_example(self) -> ArticleTask:
        task = self.task(self.example.task)
        if task is None:
            raise ValueError(f"the example's task {self.example.task} has no token figures")
        return task

    @property
    def tokens_per_gpu_second(self) -> Fraction:
        """Throughput that the example implies: tokens saved, over the GPU time that the money saved buys."""
        task = self.task_of_example
        tokens = (task.theirs - task.ours) * self.example.calls
        hours = Fraction(self.example.saved) / Fraction(self.example.gpu_hour_price)
        return Fraction(tokens) / (hours * 3600)


class _BaselinePrices(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    source_date: date
    prompt: PerMillion
    generated: PerMillion


def _read(name: str) -> Any:
    return read_document(resources.files("kat_metering").joinpath("data", name).read_text("utf-8"), is_json=False)


@cache
def default_prices() -> tuple[Price, ...]:
    return tuple(parse_prices(_read("prices.yaml")))


@cache
def article() -> Article:
    return Article.model_validate(_read("article.yaml"))


@cache
def default_baselines() -> tuple[Baseline, ...]:
    document = _read("baselines.yaml")
    return tuple(_baseline(entry, document["defaults"]) for entry in document["baselines"])


def _baseline(entry: dict[str, Any], defaults: dict[str, Any]) -> Baseline:
    prices = _BaselinePrices.model_validate(entry["prices"])
    ratios = {"article": _article_ratios(), "none": ()}[entry["token_ratios"]]
    expanded = [
        BaselinePrice(
            **defaults,
            segment=segment,
            per_million=prices.prompt if segment in _PROMPT else prices.generated,
            source=prices.source,
            source_date=prices.source_date,
        )
        for segment in Segment
    ]
    return Baseline.model_validate({**entry, "prices": expanded, "token_ratios": ratios})


def _article_ratios() -> tuple[TokenRatio, ...]:
    cited = article()
    return tuple(
        TokenRatio(
            task=task.task,
            ours=task.ours,
            theirs=task.theirs,
            label=RatioLabel.CITED,
            source=f"{cited.source}: {task.title}, tokens of {cited.compared_with} against KAT-V1-40B",
            source_date=cited.source_date,
        )
        for task in cited.tasks
    )
