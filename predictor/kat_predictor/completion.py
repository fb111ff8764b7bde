"""Runs completions: admission, the phases of auto-think on the engine, accounting, the usage event."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog

from kat.usage_event import ModeAsked, ModeSource, Status, time_of
from kat_predictor.accounting import Accounting
from kat_predictor.admission import Admission, Slot
from kat_predictor.answer_form import check_answer_form
from kat_predictor.autothink.driver import Driver, Style
from kat_predictor.autothink.history import neutralise
from kat_predictor.autothink.judge import MAX_JUDGEMENT_TOKENS, judge_messages
from kat_predictor.autothink.mode import ModeChoice, choose_mode
from kat_predictor.chat_template import NATIVE_JUDGE_ENDING, ChatTemplate
from kat_predictor.durable import despite_cancellation
from kat_predictor.engines.base import Engine, EngineError, Sampling
from kat_predictor.errors import (
    ApiError,
    ContextLengthExceeded,
    EngineFailed,
    InvalidRequest,
    NotReady,
    Overloaded,
    StartupError,
)
from kat_predictor.events import CompletionEvent, Finished, ModeKnown, Started
from kat_predictor.job import ChatPrompt, Job
from kat_predictor.metrics import Metrics
from kat_predictor.outbox import Outbox, Reservation
from kat_predictor.phases import Phases
from kat_predictor.presentation import Presentation
from kat_predictor.request_trace import TRACED
from kat_predictor.tenants import Caller

_log = structlog.get_logger(__name__)
_LONG_TEXT_CHARACTERS: Final = 32_768
"""Tokenizing more than this takes long enough to be felt by running streams."""
_JUDGE_ROOM_TOKENS: Final = MAX_JUDGEMENT_TOKENS + 32
"""What the emulated judge needs behind its prompt: its line, the tags, the choice."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for a request that does not say."""

    max_tokens: int
    temperature: float
    top_p: float
    think_budget: int | None = None
    """Upper bound of any request's thinking."""


class Completions:
    """Runs completions on one engine. Its methods belong to one event loop.

    Args:
        engine: The model.
        model: Its served name.
        style: `native` where the model judges by itself, else `emulated`.
        source: This predictor, as usage events name it.
        defaults: For requests that do not say.
        admission: Who may run.
        outbox: Where usage events go.
        metrics: Where requests are observed.

    Raises:
        StartupError: The emulated judge's own prompt does not fit the model's context.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        model: str,
        style: Style,
        source: str,
        defaults: Defaults,
        admission: Admission,
        outbox: Outbox,
        metrics: Metrics,
    ) -> None:
        self._engine = engine
        self._template = ChatTemplate(engine)
        self._model = model
        self._style: Style = style
        self._source = source
        self._defaults = defaults
        self._admission = admission
        self._outbox = outbox
        self._metrics = metrics
        metrics.model_is_served(model)
        if style == "emulated" and engine.chat_template is not None:
            self._judge_prompt_ids("")

    async def health(self) -> None:
        """Return when the engine works. Raises EngineError otherwise."""
        await self._engine.health()

    async def run(self, job: Job, caller: Caller) -> AsyncGenerator[CompletionEvent, None]:
        """Run one completion. Closing the generator, or cancelling its task, stops the engine at once.

        However it ends, its usage is on disk before this generator has ended; `Finished` comes after that.

        Raises:
            InvalidRequest: The prompt or the form of the answer is refused, or it does not fit with max_tokens.
            RateLimited, Unavailable: It was not admitted; or the engine is known to be dead or hung.
            EngineFailed: The engine failed.
        """
        traced = TRACED.get()
        trace = None if traced is None else traced.completion(job, caller, self._model)
        await check_answer_form(job, self._engine)
        prompt_ids = await self._encode_prompt(job)
        max_tokens = self._max_tokens(job, len(prompt_ids))
        accounting = Accounting(
            caller=caller,
            model=self._model,
            source=self._source,
            metrics=self._metrics,
            labels=job.labels,
            trace=trace,
        )
        choice = self._choose_mode(job, caller)
        accounting.mode_source_is(choice.source)
        try:
            await self._check_engine()
            reservation = self._outbox.reserve()
        except ApiError:
            accounting.close(Status.REJECTED)
            raise
        run = _Run(
            job=job,
            accounting=accounting,
            driver=Driver(
                self._style_of(job),
                choice,
                max_tokens=max_tokens,
                stop=job.stop,
                structured=job.json_schema is not None,
            ),
            reservation=reservation,
            metrics=self._metrics,
        )
        try:
            async with self._admission.admit(caller, len(prompt_ids) + max_tokens) as slot:
                phases = Phases(
                    engine=self._engine,
                    driver=run.driver,
                    accounting=accounting,
                    prompt_ids=prompt_ids,
                    judge_prompt_ids=lambda: self._judge_prompt_ids(_question(job)),
                    sampling=self._sampling(job, max_tokens),
                )
                async with aclosing(run.events(phases, slot)) as events:
                    async for event in events:
                        yield event
        except ApiError as error:
            if not accounting.closed:
                accounting.close(Status.REJECTED)
            if isinstance(error, Overloaded):
                self._metrics.replica_was_full(self._model)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            # Left while it waited: it used nothing, and is counted all the same.
            if not accounting.closed and (left := accounting.close(Status.ABORTED)):
                await despite_cancellation(reservation.put(left))
            raise
        finally:
            # Taken by the usage event, unless the request was refused.
            reservation.release()
        yield run.finished()

    async def _check_engine(self) -> None:
        try:
            await self._engine.health()
        except EngineError as error:
            # Between its failure and the restart by the liveness probe: nothing to charge anybody for.
            raise NotReady(
                "The engine of this replica has failed; try again, another one will answer.", retry_after=5
            ) from error

    async def _encode_prompt(self, job: Job) -> list[int]:
        if isinstance(job.prompt, ChatPrompt):
            size = sum(len(message.content) for message in job.prompt.messages)
        else:
            size = len(job.prompt.text)
        if size > _LONG_TEXT_CHARACTERS:
            return await asyncio.to_thread(self._encode, job)
        return self._encode(job)

    def _encode(self, job: Job) -> list[int]:
        if isinstance(job.prompt, ChatPrompt):
            text = self._template.render(job.prompt.messages, job.prompt.tools)
            if self._style == "native" and not text.endswith(NATIVE_JUDGE_ENDING):
                # Declared to be native, with a template that leaves it to the model to open the judge.
                text += NATIVE_JUDGE_ENDING
            return self._engine.encode(text)
        ids = self._engine.encode(job.prompt.text)
        if not ids:
            raise InvalidRequest("'prompt' is empty: it has no tokens.", param="prompt")
        return ids

    def _max_tokens(self, job: Job, prompt_tokens: int) -> int:
        """The completion's limit, so that prompt and completion fit the context."""
        context = self._engine.max_model_len
        is_chat = isinstance(job.prompt, ChatPrompt)
        what, param = ("messages", "messages") if is_chat else ("prompt", "prompt")
        if prompt_tokens >= context:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {context} tokens. However, your {what} resulted in "
                f"{prompt_tokens} tokens. Please reduce the length of the {what}.",
                param=param,
            )
        if job.max_tokens is None:
            return min(self._defaults.max_tokens, context - prompt_tokens)
        if prompt_tokens + job.max_tokens > context:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {context} tokens. However, you requested "
                f"{prompt_tokens + job.max_tokens} tokens ({prompt_tokens} in the {what}, {job.max_tokens} in the "
                f"completion). Please reduce the length of the {what} or completion.",
                param=job.max_tokens_param,
            )
        return job.max_tokens

    def _choose_mode(self, job: Job, caller: Caller) -> ModeChoice:
        if not isinstance(job.prompt, ChatPrompt):
            # Plain text is continued: nobody could think. What asked for that is the endpoint.
            return ModeChoice(ModeAsked.OFF, ModeSource.REQUEST)
        tenant = caller.tenant
        caps = [cap for cap in (tenant.max_think_tokens, self._defaults.think_budget) if cap is not None]
        return choose_mode(
            tenant.mode_policy,
            caller.budget_state,
            job.mode,
            job.prompt.last_user_text,
            max_think_tokens=min(caps, default=None),
        )

    def _style_of(self, job: Job) -> Style:
        return self._style if isinstance(job.prompt, ChatPrompt) else "plain"

    def _sampling(self, job: Job, max_tokens: int) -> Sampling:
        defaults = self._defaults
        return Sampling(
            max_tokens=max_tokens,
            temperature=defaults.temperature if job.temperature is None else job.temperature,
            top_p=defaults.top_p if job.top_p is None else job.top_p,
            seed=job.seed,
            top_logprobs=job.top_logprobs,
            json_schema=job.json_schema,
        )

    def _judge_prompt_ids(self, question: str) -> list[int]:
        """The emulated judge's prompt, the middle of the question left out where the context is too short for it."""
        room = self._engine.max_model_len - _JUDGE_ROOM_TOKENS
        while True:
            ids = self._engine.encode(self._engine.render_chat(judge_messages(neutralise(question)), None))
            if len(ids) <= room:
                return ids
            if not question:
                raise StartupError(
                    f"A context of {self._engine.max_model_len} tokens has no room for the emulated judge, which "
                    f"takes {len(ids) + _JUDGE_ROOM_TOKENS}; raise KAT_MAX_MODEL_LEN."
                )
            quarter = len(question) // 4
            question = question[:quarter] + question[len(question) - quarter :]


class _Run:
    """One admitted request, up to its usage event."""

    def __init__(
        self, *, job: Job, accounting: Accounting, driver: Driver, reservation: Reservation, metrics: Metrics
    ) -> None:
        self.driver = driver
        self._accounting = accounting
        self._reservation = reservation
        self._metrics = metrics
        offers_tools = isinstance(job.prompt, ChatPrompt) and bool(job.prompt.tools)
        self._presentation = Presentation(_new_call_id if offers_tools else None)

    async def events(self, phases: Phases, slot: Slot) -> AsyncGenerator[CompletionEvent, None]:
        """All but the last event."""
        status = Status.ERROR
        known = self.driver.mode
        self._accounting.start()
        try:
            yield Started(self._accounting.id, time_of(self._accounting.id))
            async with aclosing(phases.deltas()) as deltas:
                async for delta in deltas:
                    if self.driver.mode is not known:
                        known = self.driver.mode
                        yield ModeKnown(known, self.driver.mode_source)
                    for shown in self._presentation.show(delta):
                        yield shown
            for shown in self._presentation.end():
                yield shown
            status = Status.LENGTH if self.driver.finish_reason == "length" else Status.OK
        except EngineError as error:
            _log.error("engine_failed", event_id=str(self._accounting.id), exc_info=error)
            raise EngineFailed("The engine failed while it worked on this request; try again.") from error
        except (asyncio.CancelledError, GeneratorExit):
            status = Status.ABORTED
            raise
        finally:
            await self._settle(status, slot)

    async def _settle(self, status: Status, slot: Slot) -> None:
        """Close the books, and see the usage event to the disk, whatever happens to this task meanwhile."""
        for delta in self.driver.close():
            self._accounting.add(delta.segment, delta.tokens)
        if self.driver.budget_exhausted:
            self._metrics.think_budget_was_exhausted()
        completed = status in {Status.OK, Status.LENGTH}
        event = self._accounting.close(status, self._finish_reason() if completed else None)
        if event is None:
            raise RuntimeError("a request that ran has a usage event")
        slot.settle(event.data.tokens.prompt_total + event.data.tokens.completion)
        await despite_cancellation(self._reservation.put(event))

    def finished(self) -> Finished:
        """The last event."""
        accounting = self._accounting
        return Finished(self._finish_reason(), accounting.tokens, accounting.mode, accounting.mode_source)

    def _finish_reason(self) -> str:
        if self._presentation.has_calls and self.driver.finish_reason == "stop":
            return "tool_calls"
        return self.driver.finish_reason or "stop"


def _question(job: Job) -> str:
    return (job.prompt.last_user_text if isinstance(job.prompt, ChatPrompt) else None) or ""


def _new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"
