"""A shadow run: both models answer, and counts, latencies and verdicts are all that is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from kat_metering.shadow import Prompt, Sample, Verdict
from kat_metering.shadow_run import Endpoint, Endpoints, ShadowRun, Skipped
from tests.fakes.clock import Clock
from tests.fakes.openai_models import Models, completion

Answers = Callable[[dict[str, Any]], dict[str, Any] | int]

EVENT = UUID("0196f2a0-0000-7000-8000-000000000001")
SERVICE = Endpoint("http://service/v1/", "KAT-V1-40B", "sk-ours")
BASELINE = Endpoint("http://baseline/v1", "big")
JUDGE = Endpoint("http://judge/v1", "a judge")


def prompt(text: str = "2 + 2?", **more: Any) -> Prompt:
    return Prompt.model_validate({"messages": [{"role": "user", "content": text}], "consent": True, **more})


class Run:
    """A run against models that answer as told, each in half a second."""

    def __init__(self, judged_by: Endpoint | None = None, /, **answers: Answers) -> None:
        self.clock = Clock()
        self.kept: list[Sample] = []
        given: dict[str, Answers] = {
            "service": lambda _: completion(
                "4", tokens=30, prompt_tokens=300, mode="on", answer_id=f"chatcmpl-{EVENT}"
            ),
            "baseline": lambda _: completion("four", tokens=70),
            **answers,
        }

        def answering(host: str, body: dict[str, Any]) -> dict[str, Any] | int:
            self.clock.advance(0.5)
            return given[host](body)

        self.models = Models(answering)
        self._endpoints = Endpoints(SERVICE, BASELINE, judged_by)

    async def of(self, *prompts: Prompt, at_once: int = 1) -> Run:
        async with httpx.AsyncClient(transport=self.models) as client:
            run = ShadowRun(
                self._endpoints, client, self.kept.append, now=self.clock.now, monotonic=self.clock.monotonic
            )
            await run.run(prompts, at_once=at_once)
        self.tally = run.tally
        return self


async def test_a_sample_has_the_counts_mode_latencies_and_event_of_both_answers() -> None:
    [sample] = (await Run().of(prompt(task="sums"))).kept
    assert sample.model_dump(exclude={"id", "taken_at"}) == {
        "event_id": EVENT,
        "model": "KAT-V1-40B",
        "mode": "on",
        "task": "sums",
        "prompt_tokens": 300,
        "tokens_ours": 30,
        "tokens_baseline": 70,
        "latency_ours_ms": 500,
        "latency_baseline_ms": 500,
        "verdict": None,
        "judge": None,
    }


async def test_neither_prompt_nor_answer_is_in_a_sample() -> None:
    [sample] = (await Run().of(prompt("a secret question", reference="a secret answer"))).kept
    assert "secret" not in sample.model_dump_json()


async def test_without_consent_nothing_is_sent() -> None:
    run = await Run().of(prompt(consent=False))
    assert (run.models.sent, run.kept, run.tally.skipped) == ([], [], {Skipped.NO_CONSENT: 1})


async def test_both_are_asked_the_same_and_ours_alone_is_told_effort_and_labels() -> None:
    run = await Run().of(prompt(task="sums", max_tokens=99, temperature=0.5, reasoning_effort="none"))
    (_, ours, our_key), (_, theirs, their_key) = run.models.sent
    same = {"messages": [{"role": "user", "content": "2 + 2?"}], "max_tokens": 99, "temperature": 0.5}
    assert theirs == {"model": "big", **same}
    assert ours == {
        "model": "KAT-V1-40B", **same, "reasoning_effort": "none", "metadata": {"shadow": "yes", "task": "sums"}}  # fmt: skip
    assert (our_key, their_key) == ("Bearer sk-ours", None)


async def test_a_reference_judges_without_a_judge() -> None:
    run = await Run(JUDGE).of(prompt(reference="4"))
    assert [(sample.verdict, sample.judge) for sample in run.kept] == [(Verdict.BETTER, "reference")]
    assert len(run.models.sent) == 2


async def test_the_judge_is_asked_twice_with_the_answers_swapped() -> None:
    def ours_wins(body: dict[str, Any]) -> dict[str, Any]:
        return completion("FIRST" if "<first>\n4\n" in body["messages"][1]["content"] else "SECOND", tokens=1)

    run = await Run(JUDGE, judge=ours_wins).of(prompt())
    assert [(sample.verdict, sample.judge) for sample in run.kept] == [(Verdict.BETTER, "a judge")]
    assert [host for host, *_ in run.models.sent] == ["service", "baseline", "judge", "judge"]


async def test_a_judge_that_always_takes_the_first_has_said_nothing() -> None:
    run = await Run(JUDGE, judge=lambda _: completion("FIRST", tokens=1)).of(prompt())
    assert run.kept[0].verdict is Verdict.SAME


async def test_a_judge_that_is_not_understood_leaves_the_counts() -> None:
    run = await Run(JUDGE, judge=lambda _: completion("hm", tokens=1)).of(prompt())
    assert (run.kept[0].verdict, run.kept[0].tokens_ours, run.tally.unjudged) == (None, 30, 1)


@pytest.mark.parametrize("cut", ["service", "baseline"])
async def test_an_answer_that_was_cut_off_makes_no_pair(cut: str) -> None:
    answer = completion("4", tokens=5, mode="on", finish_reason="length")
    run = await Run(**{cut: lambda _: answer}).of(prompt())
    assert (run.kept, run.tally.skipped) == ([], {Skipped.CUT_OFF: 1})


async def test_a_service_that_does_not_say_its_mode_makes_no_pair() -> None:
    run = await Run(service=lambda _: completion("4", tokens=5)).of(prompt())
    assert (run.kept, run.tally.skipped) == ([], {Skipped.NO_MODE: 1})


async def test_a_refusal_is_counted_and_its_words_are_not_kept() -> None:
    run = await Run(baseline=lambda _: 429).of(prompt(), prompt())
    assert (run.kept, run.tally.skipped) == ([], {Skipped.FAILED: 2})
    assert run.tally.errors == {"the baseline answered 429": 2}


async def test_an_answer_without_usage_is_a_failure_and_the_others_go_on() -> None:
    answers = iter([{"choices": [{"message": {"content": "4"}}]}, completion("four", tokens=70)])
    run = await Run(baseline=lambda _: next(answers)).of(prompt(), prompt())
    assert (len(run.kept), run.tally.samples, run.tally.skipped) == (1, 1, {Skipped.FAILED: 1})


async def test_workers_share_the_prompts() -> None:
    run = await Run().of(*[prompt()] * 7, at_once=3)
    assert (run.tally.samples, len(run.models.sent)) == (7, 14)


def test_a_key_is_not_shown() -> None:
    assert "sk-ours" not in repr(SERVICE)
