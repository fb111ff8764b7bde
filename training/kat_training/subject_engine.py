"""Evaluates a model in this process, by the same driver of phases that the predictor serves with."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from kat.usage_event import Mode, ModeAsked, ModeSource, Segment
from kat_predictor.autothink.driver import Driver
from kat_predictor.autothink.history import neutralise
from kat_predictor.autothink.judge import judge_messages
from kat_predictor.autothink.mode import ModeRequest, choose_mode
from kat_predictor.chat_template import ChatTemplate, Message
from kat_predictor.engines.base import Engine, EngineError, Sampling
from kat_predictor.errors import InvalidRequest
from kat_predictor.phases import Phases
from kat_training.errors import SubjectError
from kat_training.sample import Sample
from kat_training.scores import Completion


class EngineSubject:
    """A loaded model. It judges by itself where its chat template says so, else by the emulation.

    Args:
        engine: The model; whoever loaded it closes it.
        max_tokens: Of a completion, all segments together.
        temperature: 0 is greedy.
        seed: Draws differ by question, mode and how often it was asked, and are the same in the next run.
    """

    def __init__(self, engine: Engine, *, max_tokens: int, temperature: float = 0.0, seed: int = 0) -> None:
        self._engine = engine
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._seed = seed
        self._asked: Counter[str] = Counter()
        self._template = ChatTemplate(engine)
        self._judges = self._template.judges

    async def complete(self, sample: Sample, asked: ModeAsked) -> Completion:
        """Answer a sample's question.

        Raises:
            SubjectError: The engine failed, or the conversation does not fit the model.
        """
        choice = choose_mode(ModeAsked.AUTO, None, ModeRequest(asked), sample.question)
        driver = Driver("native" if self._judges else "emulated", choice, max_tokens=self._max_tokens)
        books = _Books()
        try:
            messages = [Message(each.role, each.content) for each in sample.messages]
            phases = Phases(
                engine=self._engine,
                driver=driver,
                accounting=books,
                prompt_ids=self._engine.encode(self._template.render(messages)),
                judge_prompt_ids=lambda: self._judge_prompt_ids(sample.question),
                sampling=Sampling(
                    max_tokens=self._max_tokens, temperature=self._temperature, seed=self._next_seed(sample, asked)
                ),
            )
            async with aclosing(phases.deltas()) as deltas:
                answer = [delta.text async for delta in deltas if delta.segment is Segment.ANSWER]
        except (EngineError, InvalidRequest) as error:
            raise SubjectError(f"the model cannot answer sample {sample.id}: {error}") from error
        return Completion(driver.mode, "".join(answer).strip(), books.tokens)

    def _next_seed(self, sample: Sample, asked: ModeAsked) -> int:
        question = f"{self._seed} {asked} {sample.id}"
        self._asked[question] += 1
        return zlib.crc32(f"{question} {self._asked[question]}".encode())

    def _judge_prompt_ids(self, question: str) -> list[int]:
        return self._engine.encode(self._engine.render_chat(judge_messages(neutralise(question)), None))


class _Books:
    """Counts what the engine generated; nobody is charged for an evaluation."""

    def __init__(self) -> None:
        self.tokens = 0

    def prompt(self, *, tokens: int, cached: int = 0) -> None:
        """Only completions are compared."""

    def chunk(self, tokens: int, engine_seconds: float) -> None:  # noqa: ARG002 - as the driver of phases calls it
        self.tokens += tokens

    def mode_is(self, mode: Mode, source: ModeSource) -> None:
        """The driver keeps it."""

    def add(self, segment: Segment, tokens: int) -> None:
        """The engine's own count is enough."""


@asynccontextmanager
async def loaded_subject(
    model: str, models_dir: Path, *, max_tokens: int, at_once: int, temperature: float = 0.0, seed: int = 0,
    progress: Callable[[str], None],
) -> AsyncIterator[EngineSubject]:  # fmt: skip
    """A model loaded for it: `default`, a folder or a name on the Hub.

    Raises:
        SubjectError: It cannot be loaded.
    """
    # Takes seconds to import, and what is scripted needs none of it.
    from kat_predictor.engines.default_model import DefaultModelError  # noqa: PLC0415
    from kat_predictor.engines.load import load_engine  # noqa: PLC0415

    try:
        engine = load_engine(model, models_dir=models_dir, engine="transformers", max_batch=at_once, progress=progress)
    except (DefaultModelError, OSError, ValueError) as error:
        raise SubjectError(f"the model {model} cannot be loaded: {error}") from error
    try:
        yield EngineSubject(engine, max_tokens=max_tokens, temperature=temperature, seed=seed)
    finally:
        await engine.close()
