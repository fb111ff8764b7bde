"""A handful of real prompts through a running platform, and what each cost and saved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import httpx
from rich.table import Table

_REQUEST_SECONDS: Final = 300
_RATED_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.2
_MILLION: Final = 1_000_000
_MARKS: Final = {"equal_tokens": "⁼", "cited": "ᶜ", "measured": "ᵐ"}


class ShowcaseFailed(Exception):
    """A prompt was not answered, or its usage never reached metering."""


@dataclass(frozen=True, slots=True)
class Prompt:
    text: str
    parameters: dict[str, Any] = field(default_factory=dict)
    task: str | None = None
    """The task class, where the prompt is of one that the introduction article measured."""


@dataclass(frozen=True, slots=True)
class Outcome:
    prompt: Prompt
    answer: dict[str, Any]
    """The response of the OpenAI API."""
    seconds: float
    rated: dict[str, Any]
    """What metering makes of the request: its cost and its savings."""


PROMPTS: Final = (
    Prompt("What is the capital of France?"),
    Prompt("你好！请用一句话介绍一下你自己。"),
    Prompt("A train drives 60 km at 30 km/h and returns at 20 km/h. What is its average speed for the whole trip?"),
    Prompt(
        "Write a Python function that tells whether a list holds two numbers closer to each other than a threshold.",
        task="humaneval",
    ),
    Prompt("不要思考，直接告诉我：水在标准大气压下的沸点是多少摄氏度？"),
    Prompt("请一步一步仔细推理：小明有12个苹果，给了小红三分之一，又买了5个，他现在有几个苹果？"),
    Prompt("Is 91 a prime number?", {"reasoning_effort": "high"}),
)


async def run(
    *, predictor_url: str, metering_url: str, api_key: str, model: str, done: Callable[[Prompt], None] = lambda _: None
) -> list[Outcome]:
    """Send the prompts at once and wait until metering has rated each.

    Raises ShowcaseFailed, naming the prompt.
    """
    headers = {"Authorization": f"Bearer {api_key}"}
    async with (
        httpx.AsyncClient(base_url=predictor_url, headers=headers, timeout=_REQUEST_SECONDS) as predictor,
        httpx.AsyncClient(base_url=metering_url, headers=headers, timeout=30) as metering,
    ):

        async def one(prompt: Prompt) -> Outcome:
            try:
                outcome = await _outcome(predictor, metering, prompt, model)
            except httpx.TransportError as error:
                raise ShowcaseFailed(f"{prompt.text!r}: {error!r}") from error
            done(prompt)
            return outcome

        return await asyncio.gather(*map(one, PROMPTS))


async def _outcome(predictor: httpx.AsyncClient, metering: httpx.AsyncClient, prompt: Prompt, model: str) -> Outcome:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt.text}],
        "max_tokens": 256,
        "seed": 1,
        **({"metadata": {"task": prompt.task}} if prompt.task else {}),
        **prompt.parameters,
    }
    started = time.monotonic()
    response = await predictor.post("/v1/chat/completions", json=body)
    seconds = time.monotonic() - started
    if response.is_error:
        raise ShowcaseFailed(f"{prompt.text!r}: {response.status_code} {response.text}")
    answer = response.json()
    rated = await _rated(metering, event_id=answer["id"].removeprefix("chatcmpl-"))
    return Outcome(prompt, answer, seconds, rated)


async def _rated(metering: httpx.AsyncClient, event_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + _RATED_SECONDS
    while True:
        response = await metering.get(f"/v1/requests/{event_id}")
        if response.status_code == httpx.codes.OK:
            rated: dict[str, Any] = response.json()
            return rated
        if response.status_code != httpx.codes.NOT_FOUND or time.monotonic() > deadline:
            raise ShowcaseFailed(f"usage of {event_id} is not in metering: {response.status_code} {response.text}")
        await asyncio.sleep(_POLL_SECONDS)


def table(outcomes: list[Outcome]) -> Table:
    """Money per million such requests: a single one costs a fraction of a cent's thousandth."""
    view = Table(
        title="What each prompt cost, and saved against the baseline",
        caption=_caption(outcomes),
        caption_justify="left",
    )
    view.add_column("Prompt", max_width=28, no_wrap=True, overflow="ellipsis")
    for heading, width in (("Mode", 4), ("Chosen by", 11)):
        view.add_column(heading, min_width=width, no_wrap=True)
    for heading in ("Judge", "Think", "Answer", "Seconds"):
        view.add_column(heading, min_width=len(heading), justify="right", no_wrap=True)
    for heading in ("Cost", "Saved L1", "Saved L2"):
        view.add_column(heading, min_width=8, justify="right", no_wrap=True)
    for outcome in outcomes:
        segments, rated = outcome.answer["usage"]["kat_segments"], outcome.rated
        view.add_row(
            outcome.prompt.text,
            outcome.answer["kat"]["mode"],
            outcome.answer["kat"]["mode_source"],
            *(str(segments[segment]) for segment in ("judge", "think", "answer")),
            f"{outcome.seconds:.1f}",
            _per_million(rated["cost"]),
            _saving(rated["savings"]["L1"]),
            _saving(rated["savings"]["L2"], mark=True),
        )
    return view


def _per_million(amount: str | None) -> str:
    return "unpriced" if amount is None else f"{Decimal(amount) * _MILLION:.2f}"


def _saving(saving: dict[str, Any], *, mark: bool = False) -> str:
    if saving["amount"] is None:
        return str(saving["reason"])
    return _per_million(saving["amount"]) + (_MARKS[saving["label"]] if mark else "")


def _caption(outcomes: list[Outcome]) -> str:
    rated = outcomes[0].rated
    return (
        "Judge, think and answer are tokens. "
        f"Cost and savings are {rated['currency']} per million such requests. Baseline: {rated['baseline']['name']}. "
        "L1: our tokens at the baseline's price. L2: the baseline's own tokens, by a ratio that is measured (ᵐ) or "
        "cited (ᶜ); without one (⁼) as many as ours, and no token saving is claimed."
    )
