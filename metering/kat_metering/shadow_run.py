"""Sends sampled prompts to our service and to the baseline, and keeps counts, latencies and verdicts of the answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import httpx

from kat.usage_event import Mode, new_event_id
from kat_metering import shadow_judge
from kat_metering.shadow import REFERENCE_JUDGE, Prompt, Sample, Verdict, verdict_by_reference

_ALLOWED_IN_FLIGHT = 1_000


class Skipped(StrEnum):
    """Why a prompt of the sample is in no pair."""

    NO_CONSENT = "no_consent"
    CUT_OFF = "cut_off"
    """One of the answers ended at max_tokens: its length says nothing."""
    NO_MODE = "no_mode"
    """Our service did not say which mode it used."""
    FAILED = "failed"
    """An endpoint refused, did not answer, or counted no tokens."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model behind an OpenAI-compatible API; `url` is its base, with /v1 where it has one."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Endpoints:
    service: Endpoint
    baseline: Endpoint
    judge: Endpoint | None = None


@dataclass(slots=True)
class Tally:
    """What became of the sampled prompts. `errors` says what failed, how often; never what was asked or answered."""

    samples: int = 0
    unjudged: int = 0
    skipped: Counter[Skipped] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Answer:
    id: str
    text: str
    tokens: int
    prompt_tokens: int
    mode: str | None
    cut_off: bool
    milliseconds: float


class _EndpointError(Exception):
    """An endpoint did not do its part."""


class ShadowRun:
    """One run. `keep` takes each sample as soon as it is complete."""

    def __init__(
        self,
        endpoints: Endpoints,
        client: httpx.AsyncClient,
        keep: Callable[[Sample], object],
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._endpoints = endpoints
        self._client = client
        self._keep = keep
        self._now = now
        self._monotonic = monotonic
        self.tally = Tally()

    async def run(self, prompts: Iterable[Prompt], *, at_once: int) -> None:
        """Send all of them, `at_once` at a time: each worker takes the next prompt when it is done with one."""
        shared = iter(prompts)
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(at_once, _ALLOWED_IN_FLIGHT)):
                workers.create_task(self._work(shared))

    async def _work(self, prompts: Iterator[Prompt]) -> None:
        for prompt in prompts:
            if not prompt.consent:
                self.tally.skipped[Skipped.NO_CONSENT] += 1
                continue
            try:
                sample = await self._sample(prompt)
            except _EndpointError as error:
                self.tally.skipped[Skipped.FAILED] += 1
                self.tally.errors[str(error)] += 1
                continue
            if isinstance(sample, Skipped):
                self.tally.skipped[sample] += 1
            else:
                self.tally.samples += 1
                self.tally.unjudged += sample.verdict is None
                self._keep(sample)

    async def _sample(self, prompt: Prompt) -> Sample | Skipped:
        taken_at = self._now()
        # One after the other: on shared hardware they would slow each other down.
        ours = await self._ask(self._endpoints.service, _for_us(prompt), "the service")
        theirs = await self._ask(self._endpoints.baseline, _for_anyone(prompt), "the baseline")
        if ours.cut_off or theirs.cut_off:
            return Skipped.CUT_OFF
        if ours.mode not in {Mode.ON, Mode.OFF}:
            return Skipped.NO_MODE
        verdict, judge = await self._judge(prompt, ours.text, theirs.text)
        return Sample(
            id=new_event_id(),
            event_id=_event_id(ours.id),
            taken_at=taken_at,
            model=self._endpoints.service.model,
            mode=Mode(ours.mode),
            task=prompt.task,
            prompt_tokens=ours.prompt_tokens,
            tokens_ours=ours.tokens,
            tokens_baseline=theirs.tokens,
            latency_ours_ms=ours.milliseconds,
            latency_baseline_ms=theirs.milliseconds,
            verdict=verdict,
            judge=judge,
        )

    async def _judge(self, prompt: Prompt, ours: str, theirs: str) -> tuple[Verdict | None, str | None]:
        if prompt.reference is not None:
            return verdict_by_reference(prompt.reference, ours, theirs), REFERENCE_JUDGE
        if self._endpoints.judge is None:
            return None, None
        votes = [
            shadow_judge.vote((await self._ask(self._endpoints.judge, _to_judge(prompt, *pair), "the judge")).text)
            for pair in ((ours, theirs), (theirs, ours))
        ]
        verdict = shadow_judge.verdict(*votes)
        return verdict, None if verdict is None else self._endpoints.judge.model

    async def _ask(self, endpoint: Endpoint, request: Mapping[str, Any], who: str) -> _Answer:
        headers = {} if endpoint.key is None else {"Authorization": f"Bearer {endpoint.key}"}
        url = f"{endpoint.url.rstrip('/')}/chat/completions"
        began = self._monotonic()
        try:
            answer = await self._client.post(url, json={"model": endpoint.model, **request}, headers=headers)
        except httpx.HTTPError as error:
            raise _EndpointError(f"{who} did not answer: {type(error).__name__}") from error
        milliseconds = (self._monotonic() - began) * 1000
        if not answer.is_success:
            # Its words may quote the prompt.
            raise _EndpointError(f"{who} answered {answer.status_code}")
        try:
            return _read(answer.json(), milliseconds)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise _EndpointError(f"{who} sent no chat completion with usage: {type(error).__name__}") from error


def _read(body: dict[str, Any], milliseconds: float) -> _Answer:
    choice, usage = body["choices"][0], body["usage"]
    return _Answer(
        id=str(body.get("id", "")),
        text=choice["message"].get("content") or "",
        tokens=int(usage["completion_tokens"]),
        prompt_tokens=int(usage["prompt_tokens"]),
        mode=(body.get("kat") or {}).get("mode"),
        cut_off=choice.get("finish_reason") == "length",
        milliseconds=milliseconds,
    )


def _for_anyone(prompt: Prompt) -> dict[str, Any]:
    given = {"max_tokens": prompt.max_tokens, "temperature": prompt.temperature}
    messages = [message.model_dump(exclude_none=True) for message in prompt.messages]
    return {"messages": messages, **{name: value for name, value in given.items() if value is not None}}


def _for_us(prompt: Prompt) -> dict[str, Any]:
    request = _for_anyone(prompt)
    # Its usage is metered like any other; the label tells what it was for.
    request["metadata"] = {"shadow": "yes"} | ({"task": prompt.task} if prompt.task else {})
    if prompt.reasoning_effort is not None:
        request["reasoning_effort"] = prompt.reasoning_effort
    return request


def _to_judge(prompt: Prompt, first: str, second: str) -> dict[str, Any]:
    return {"messages": shadow_judge.question(prompt.messages, first, second), "temperature": 0}


def _event_id(answer_id: str) -> UUID | None:
    """The usage event behind an answer of ours."""
    try:
        return UUID(answer_id.removeprefix("chatcmpl-"))
    except ValueError:
        return None
