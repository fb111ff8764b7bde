"""Has questions answered by a teacher: solver, thinker, critic, and back to the thinker until the critic is content."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from kat_training.chat_endpoint import CallFailed, ChatEndpoint, EndpointRefused, Failing, Reply
from kat_training.checks import RunTests, is_right
from kat_training.errors import TeacherError
from kat_training.journal import BELOW_THRESHOLD, Entry, Journal, Spent
from kat_training.quality import Fault, fault
from kat_training.sample import Message, Sample
from kat_training.store import row_of
from kat_training.teacher import (
    Garbage,
    Question,
    Role,
    Thought,
    critic_messages,
    read_thought,
    read_verdict,
    sample_from,
    solver_messages,
    thinker_messages,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherPlan:
    """How much a sample has to be worth."""

    threshold: float = 8.0
    """The critic's score, 0 to 10, that a sample needs."""
    rounds: int = 2
    """Times the thinker may try."""
    max_tokens: int = 512
    """Of each reply."""


class TeacherRun:
    """One run.

    Args:
        teacher: Plays all three parts.
        journal: Keeps what came of each question.
        plan: How much a sample has to be worth.
        run_tests: Runs the tests of code; called in a thread.
        progress: Called after each question.
    """

    def __init__(
        self,
        teacher: ChatEndpoint,
        journal: Journal,
        plan: TeacherPlan,
        *,
        run_tests: RunTests,
        progress: Callable[[], object],
    ) -> None:
        self._teacher = teacher
        self._journal = journal
        self._plan = plan
        self._run_tests = run_tests
        self._progress = progress

    async def run(self, questions: Iterable[Question], *, at_once: int) -> None:
        """Teach all of them that the journal does not have yet, `at_once` at a time.

        Raises:
            TeacherError: The teacher refuses us altogether, or the journal cannot be written.
        """
        shared = iter({each.id: each for each in questions if not self._journal.has(each.id)}.values())
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(at_once):
                    workers.create_task(self._work(shared))
        except ExceptionGroup as failures:
            # The first ended the others; they say the same.
            raise failures.exceptions[0] from None

    async def _work(self, questions: Iterator[Question]) -> None:
        for question in questions:
            lesson = _Lesson(self._teacher, self._plan, question)
            try:
                thought = await lesson.thought()
                sample: Sample | None = None
                dropped: str | None = BELOW_THRESHOLD
                if thought is not None:
                    sample = sample_from(question, thought)
                    dropped = await asyncio.to_thread(self._fault, sample, thought)
            except CallFailed as failed:
                sample, dropped = None, failed.failing
            except EndpointRefused as refused:
                raise TeacherError(str(refused)) from refused
            self._journal.add(
                Entry(
                    question=question.id,
                    sample=None if sample is None or dropped is not None else row_of(sample),
                    dropped=dropped,
                    rounds=lesson.rounds,
                    spent=lesson.spent,
                )
            )
            self._progress()

    def _fault(self, sample: Sample, thought: Thought) -> str | None:
        if thought.answer and not is_right(sample, thought.answer, self._run_tests):
            return Fault.WRONG_ANSWER
        return fault(sample, self._run_tests) if thought.answer else Fault.EMPTY


class _Lesson:
    """The calls about one question, and what they cost, also where one of them fails."""

    def __init__(self, teacher: ChatEndpoint, plan: TeacherPlan, question: Question) -> None:
        self._teacher = teacher
        self._plan = plan
        self._question = question
        self.rounds = 0
        self.spent = Spent()

    async def thought(self) -> Thought | None:
        """A thought that the critic is content with, if there is one.

        Raises:
            CallFailed: A call failed, or its reply is of no use.
            EndpointRefused: The teacher refuses us.
        """
        draft = (await self._ask("solver", solver_messages(self._question))).text
        remark = None
        while self.rounds < self._plan.rounds:
            self.rounds += 1
            reply = await self._ask("thinker", thinker_messages(self._question, draft, remark))
            try:
                thought = read_thought(reply.text)
                verdict = read_verdict((await self._ask("critic", critic_messages(self._question, thought))).text)
            except Garbage as error:
                raise CallFailed(Failing.GARBAGE, str(error)) from error
            if verdict.score >= self._plan.threshold:
                return thought
            draft, remark = thought.answer, verdict.remark
        return None

    async def _ask(self, role: Role, messages: Sequence[Message]) -> Reply:
        reply = await self._teacher.ask(
            messages, labels={"role": role}, max_tokens=self._plan.max_tokens, temperature=0
        )
        self.spent += Spent(calls=1, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens)
        if reply.cut_off:
            raise CallFailed(Failing.GARBAGE, f"the {role}'s reply was cut off")
        return reply
