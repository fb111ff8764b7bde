"""What does not fit in memory waits or fails alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch

from kat_predictor.engines.forward import Forward
from tests.fakes.batch_bench import Bench, Prompts, Reference


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
