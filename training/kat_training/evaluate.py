"""Asks a model every question of a split, some at a time, and scores the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from kat.usage_event import ModeAsked
from kat_training.checks import RunTests
from kat_training.sample import Sample
from kat_training.scores import Completion, Scored, score


class Subject(Protocol):
    """A model under evaluation."""

    async def complete(self, sample: Sample, asked: ModeAsked) -> Completion: ...


async def evaluate(
    subject: Subject,
    samples: Sequence[Sample],
    asked: ModeAsked,
    *,
    run_tests: RunTests,
    at_once: int,
    progress: Callable[[], object],
) -> list[Scored]:
    """One run over the samples, in their order.

    Args:
        subject: The model.
        samples: What to ask.
        asked: `auto` lets the model judge; `on` and `off` force a mode.
        run_tests: Runs the tests of code; called in a thread.
        at_once: Questions in flight.
        progress: Called after each answer.

    Raises:
        SubjectError: A question got no answer.
    """
    scored: dict[int, Scored] = {}

    async def work(numbered: Iterator[tuple[int, Sample]]) -> None:
        for number, sample in numbered:
            completion = await subject.complete(sample, asked)
            scored[number] = await asyncio.to_thread(score, sample, completion, run_tests)
            progress()

    shared = iter(enumerate(samples))
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(at_once, len(samples))):
                workers.create_task(work(shared))
    except ExceptionGroup as failures:
        # The first ended the others; they say the same.
        raise failures.exceptions[0] from None
    return [scored[number] for number in range(len(samples))]
