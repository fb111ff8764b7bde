from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from kat_predictor.engines.base import EngineError, Sampling, TokenChunk
from kat_predictor.engines.batch import Batch
from kat_predictor.engines.detokenize import Vocabulary
from kat_predictor.engines.forward import Forward
from kat_predictor.engines.row import Call, Row

Prompts = Callable[[int], list[int]]
Reference = Callable[[list[int], int], list[int]]
NO_LOOP = cast("asyncio.AbstractEventLoop", None)  # a batch never looks at it


class Bench:
    """A batch, and what it has produced for each call."""

    def __init__(self, forward: Forward, vocabulary: Vocabulary, stop_ids: frozenset[int], **sizes: Any) -> None:
        defaults = {"max_rows": 8, "max_cells": 8 * 256, "prefill_tokens": 64, "prefix_cache_tokens": 0}
        self.batch = Batch(forward, **{**defaults, **sizes})
        self.vocabulary = vocabulary
        self.stop_ids = stop_ids
        self.chunks: dict[Call, list[TokenChunk]] = defaultdict(list)
        self.errors: dict[Call, EngineError] = {}
        self.device = torch.device("cpu")

    def submit(self, prompt: list[int], max_tokens: int = 8, **settings: Any) -> Call:
        sampling = Sampling(max_tokens=max_tokens, **{"temperature": 0, **settings})
        call = Call(tuple(prompt), sampling, NO_LOOP, asyncio.Queue())
        self.batch.add(Row(call, self.vocabulary, self.stop_ids, self.device))
        return call

    @torch.inference_mode()
    def step(self, count: int = 1) -> None:
        for _ in range(count):
            for call, result in self.batch.step():
                if isinstance(result, EngineError):
                    self.errors[call] = result
                else:
                    self.chunks[call].append(result)

    def finish(self) -> None:
        while self.batch.busy:
            self.step()

    def tokens(self, call: Call) -> list[int]:
        return [token for chunk in self.chunks[call] for token in chunk.token_ids]

    def seconds(self) -> float:
        return sum(chunk.engine_seconds for chunks in self.chunks.values() for chunk in chunks)


@pytest.fixture
def bench(forward: Forward, tokenizer: PreTrainedTokenizerFast) -> Callable[..., Bench]:
    def make(stop_ids: frozenset[int] = frozenset(), **sizes: Any) -> Bench:
        return Bench(forward, Vocabulary(tokenizer, stop_ids), stop_ids, **sizes)

    return make


def test_a_sequence_in_a_batch_gets_the_tokens_it_would_get_alone(
    bench: Callable[..., Bench], prompts: Prompts, reference: Reference
) -> None:
    """Prompts of all lengths join at different steps and leave at different steps."""
    made = bench()
    expected: dict[Call, list[int]] = {}
    for length, count in [(3, 20), (40, 5), (17, 12), (1, 30), (60, 9), (64, 3)]:
        prompt = prompts(length)
        expected[made.submit(prompt, count)] = reference(prompt, count)
        made.step(2)
    made.finish()

    assert {call: made.tokens(call) for call in expected} == expected


def test_a_prompt_longer_than_a_pass_is_computed_in_parts(
    bench: Callable[..., Bench], prompts: Prompts, reference: Reference
) -> None:
    made = bench(prefill_tokens=10)
    prompt = prompts(95)
    call = made.submit(prompt, 6)
    made.finish()

    assert made.tokens(call) == reference(prompt, 6)


def test_a_long_prompt_lets_running_sequences_go_on_between_its_parts(
    bench: Callable[..., Bench], prompts: Prompts
) -> None:
    made = bench(prefill_tokens=10)
    running = made.submit(prompts(3), 50)
    made.step(2)
    made.submit(prompts(100), 1)
    before = len(made.tokens(running))

    made.step(10)

    assert len(made.tokens(running)) - before == 5


def test_prompts_that_wait_together_are_computed_in_one_pass(bench: Callable[..., Bench], prompts: Prompts) -> None:
    made = bench()
    calls = [made.submit(prompts(length)) for length in (5, 9, 3)]

    made.step()

    assert [len(made.tokens(call)) for call in calls] == [1, 1, 1]


def test_calls_beyond_the_largest_batch_wait_and_are_served_in_order(
    bench: Callable[..., Bench], prompts: Prompts
) -> None:
    made = bench(max_rows=2)
    calls = [made.submit(prompts(4), 3) for _ in range(6)]
    started: list[Call] = []
    while made.batch.busy:
        made.step()
        started += [call for call in calls if made.chunks[call] and call not in started]
        assert sum(0 < len(made.tokens(call)) < 3 for call in calls) <= 2

    assert started == calls


def test_a_cancelled_sequence_stops_at_the_next_step_and_disturbs_nobody(
    bench: Callable[..., Bench], prompts: Prompts, reference: Reference
) -> None:
    made = bench()
    kept_prompts = [prompts(6), prompts(30), prompts(2)]
    first = made.submit(kept_prompts[0], 20)
    doomed = made.submit(prompts(12), 20)
    others = [made.submit(prompt, 20) for prompt in kept_prompts[1:]]
    made.step(4)
    generated = len(made.tokens(doomed))

    doomed.cancelled = True
    made.finish()

    assert len(made.tokens(doomed)) == generated
    assert [made.tokens(call) for call in (first, *others)] == [reference(prompt, 20) for prompt in kept_prompts]


def test_a_sequence_cancelled_within_its_prompt_or_while_waiting_never_starts(
    bench: Callable[..., Bench], prompts: Prompts
) -> None:
    made = bench(prefill_tokens=10)
    calls = [made.submit(prompts(50)), made.submit(prompts(50))]
    made.step(2)
    for call in calls:
        call.cancelled = True

    made.step()

    assert not made.batch.busy
    assert not any(made.chunks.values())


def test_the_end_of_sequence_token_ends_it_and_is_counted_without_text(
    bench: Callable[..., Bench], prompts: Prompts, reference: Reference
) -> None:
    prompt = prompts(10)
    expected = reference(prompt, 8)
    stop = expected[4]
    made = bench(stop_ids=frozenset({stop}))
    call = made.submit(prompt)
    made.finish()

    last = made.chunks[call][-1]
    assert (last.token_ids, last.finish_reason) == ((stop,), "stop")
    assert made.tokens(call) == expected[: expected.index(stop) + 1]
    assert not last.text.strip("\N{REPLACEMENT CHARACTER}")  # nothing but bytes that were held back


def test_a_sequence_that_reaches_its_limit_ends_by_length(bench: Callable[..., Bench], prompts: Prompts) -> None:
    made = bench()
    call = made.submit(prompts(10), 3)
    made.finish()

    assert [chunk.finish_reason for chunk in made.chunks[call]] == [None, None, "length"]


def test_the_texts_joined_are_the_decoded_tokens(bench: Callable[..., Bench], prompts: Prompts) -> None:
    made = bench()
    call = made.submit(prompts(10), 60)
    made.finish()

    spoken = [token for token in made.tokens(call) if token not in made.vocabulary.silent]
    assert "".join(chunk.text for chunk in made.chunks[call]) == made.vocabulary.decode(spoken)


def test_every_token_comes_with_its_log_probabilities_when_asked(bench: Callable[..., Bench], prompts: Prompts) -> None:
    made = bench()
    call = made.submit(prompts(10), 4, top_logprobs=3)
    made.submit(prompts(10), 4)
    made.finish()

    reported = [logprob for chunk in made.chunks[call] for logprob in chunk.logprobs]
    assert [len(logprob.top) for logprob in reported] == [3, 3, 3, 3]
    # Greedy takes the likeliest, so each token leads its own alternatives.
    assert [(logprob.token, logprob.logprob) for logprob in reported] == [logprob.top[0] for logprob in reported]


# --- the prefix cache


def test_a_prompt_that_continues_an_earlier_sequence_is_served_from_the_cache_with_the_same_tokens(
    bench: Callable[..., Bench], prompts: Prompts, reference: Reference
) -> None:
    made = bench(prefix_cache_tokens=256)
    first = prompts(40)
    answer = made.submit(first, 20)
    made.finish()
    second = [*first, *made.tokens(answer), *prompts(5)]

    call = made.submit(second, 10)
    made.finish()

    # 59 tokens of the first sequence were computed (its last was drawn and never fed back): three whole blocks.
    assert [chunk.cached_prompt_tokens for chunk in made.chunks[call]] == [48] + [0] * 9
    assert made.tokens(call) == reference(second, 10)


def test_a_prompt_is_found_while_the_sequence_that_shares_it_still_runs(
    bench: Callable[..., Bench], prompts: Prompts, reference: Reference
) -> None:
    made = bench(prefix_cache_tokens=256)
    shared = prompts(50)
    made.submit(shared, 100)
    made.step(3)
    second = [*shared, *prompts(3)]

    call = made.submit(second, 10)
    made.step(15)

    assert made.chunks[call][0].cached_prompt_tokens == 48
    assert made.tokens(call) == reference(second, 10)


def test_the_last_token_of_a_prompt_is_computed_even_if_all_of_it_is_cached(
    bench: Callable[..., Bench], prompts: Prompts, reference: Reference
) -> None:
    made = bench(prefix_cache_tokens=256)
    prompt = prompts(32)
    made.submit(prompt)
    made.finish()

    call = made.submit(prompt)
    made.finish()

    assert made.chunks[call][0].cached_prompt_tokens == 16
    assert made.tokens(call) == reference(prompt, 8)


def test_a_small_cache_forgets_without_harm(
    bench: Callable[..., Bench], prompts: Prompts, reference: Reference
) -> None:
    made = bench(prefix_cache_tokens=48)
    asked = [prompts(40) for _ in range(4)]
    for prompt in [*asked, *asked]:
        call = made.submit(prompt, 5)
        made.finish()
        assert made.tokens(call) == reference(prompt, 5)


def test_without_a_prefix_cache_nothing_is_reported_as_cached(bench: Callable[..., Bench], prompts: Prompts) -> None:
    made = bench(prefix_cache_tokens=0)
    prompt = prompts(40)
    calls = []
    for _ in range(2):
        calls.append(made.submit(prompt))
        made.finish()

    assert [made.chunks[call][0].cached_prompt_tokens for call in calls] == [0, 0]


# --- memory


def test_when_the_cache_is_full_a_sequence_is_put_off_and_finishes_later_with_the_same_tokens(
    bench: Callable[..., Bench], prompts: Prompts, reference: Reference
) -> None:
    made = bench(max_cells=3 * 100)
    asked = [prompts(20) for _ in range(3)]
    calls = [made.submit(prompt, 85) for prompt in asked]
    resting = set()
    while made.batch.busy:
        before = {call: len(made.tokens(call)) for call in calls}
        made.step()
        resting |= {call for call in calls if 0 < before[call] == len(made.tokens(call)) < 85}

    assert resting == {calls[2]}
    assert [made.tokens(call) for call in calls] == [reference(prompt, 85) for prompt in asked]


def test_a_put_off_sequence_does_not_count_its_own_tokens_as_a_cached_prompt(
    bench: Callable[..., Bench], prompts: Prompts
) -> None:
    made = bench(max_cells=2 * 90, prefix_cache_tokens=256)
    calls = [made.submit(prompts(20), 75) for _ in range(2)]
    made.finish()

    assert [sum(chunk.cached_prompt_tokens for chunk in made.chunks[call]) for call in calls] == [0, 0]


def test_usage_rises_with_the_batch_and_returns_to_nought(bench: Callable[..., Bench], prompts: Prompts) -> None:
    made = bench(max_cells=400)
    made.submit(prompts(19), 2)
    made.submit(prompts(9), 2)
    made.step()
    full = made.batch.usage
    made.finish()

    assert (full, made.batch.usage) == (2 * 21 / 400, 0)


class Failing:
    """The real model, out of memory on the passes that a test picks."""

    def __init__(self, forward: Forward, fails: Callable[[int, int], bool]) -> None:
        self._forward = forward
        self._fails = fails
        self.layers = forward.layers

    def __call__(self, cache: Any, first: int, starts: Any, tokens: Any) -> torch.Tensor:
        if self._fails(len(tokens), max(map(len, tokens))):
            raise torch.OutOfMemoryError("no memory left")
        return self._forward(cache, first, starts, tokens)


def test_a_prompt_that_does_not_fit_in_memory_fails_alone(
    bench: Callable[..., Bench], forward: Forward, prompts: Prompts, reference: Reference
) -> None:
    made = bench(prefix_cache_tokens=128)
    made.batch._forward = cast("Forward", Failing(forward, lambda _rows, queries: queries > 30))
    prompt = prompts(20)
    running = made.submit(prompt, 10)
    made.step(2)
    too_long = made.submit(prompts(40))
    made.finish()

    assert made.errors.keys() == {too_long}
    assert made.tokens(running) == reference(prompt, 10)


def test_running_sequences_that_do_not_fit_in_memory_together_take_turns(
    bench: Callable[..., Bench], forward: Forward, prompts: Prompts, reference: Reference
) -> None:
    made = bench()
    made.batch._forward = cast("Forward", Failing(forward, lambda rows, queries: rows > 1 and queries == 1))
    asked = [prompts(20), prompts(5)]
    calls = [made.submit(prompt, 10) for prompt in asked]
    for _ in range(200):
        made.step()

    assert [made.tokens(call) for call in calls] == [reference(prompt, 10) for prompt in asked]


def test_any_other_failure_of_a_pass_is_not_taken_for_a_lack_of_memory(
    bench: Callable[..., Bench], prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench()

    def broken(*_arguments: object) -> torch.Tensor:
        raise RuntimeError("device-side assert triggered")

    monkeypatch.setattr(made.batch, "_forward", broken)
    made.submit(prompts(3))

    with pytest.raises(RuntimeError, match="device-side"):
        made.step()


# --- time


def test_the_shares_of_all_sequences_sum_up_to_the_time_of_the_steps(
    bench: Callable[..., Bench], prompts: Prompts
) -> None:
    ticks = itertools.count()
    made = bench(prefill_tokens=16, clock=lambda: float(next(ticks)) ** 1.5)
    for length, count in [(3, 9), (40, 4), (16, 12), (1, 1)]:
        made.submit(prompts(length), count)
        made.step(3)
    made.finish()

    assert made.batch.busy_seconds > 0
    assert made.seconds() == pytest.approx(made.batch.busy_seconds)


def test_a_step_is_shared_equally_by_the_rows_in_it_and_by_no_others(
    bench: Callable[..., Bench], prompts: Prompts
) -> None:
    ticks = itertools.count()
    made = bench(clock=lambda: float(next(ticks)))
    running = [made.submit(prompts(3)), made.submit(prompts(3))]
    made.step()
    joiner = made.submit(prompts(3))
    made.step(2)

    assert [[chunk.engine_seconds for chunk in made.chunks[call]] for call in running] == [[0.5, 0.5], [0.5, 0.5]]
    assert [chunk.engine_seconds for chunk in made.chunks[joiner]] == [1.0]


def test_an_idle_batch_does_no_work_and_takes_no_time(bench: Callable[..., Bench]) -> None:
    ticks = itertools.count()
    made = bench(clock=lambda: float(next(ticks)))
    made.step(5)

    assert made.batch.busy_seconds == 0
