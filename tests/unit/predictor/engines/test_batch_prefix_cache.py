"""A prompt whose beginning was computed before is served from the cache with the same tokens."""

from __future__ import annotations

from collections.abc import Callable

from tests.fakes.batch_bench import Bench, Prompts, Reference


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
