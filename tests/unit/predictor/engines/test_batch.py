"""Sequences in a batch get what they would get alone, whoever joins and leaves."""

from __future__ import annotations

from collections.abc import Callable

from kat_predictor.engines.row import Call
from tests.fakes.batch_bench import Bench, Prompts, Reference


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
