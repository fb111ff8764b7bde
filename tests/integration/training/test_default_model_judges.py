"""The bundled default model chooses well on questions that it was not taught; `kat train eval` has all figures."""

from __future__ import annotations

import asyncio

import pytest

from kat.usage_event import ModeAsked
from kat_predictor.engines.load import load_engine
from kat_training.code_tests import passes
from kat_training.corpus import CorpusPlan, make_corpus
from kat_training.evaluate import evaluate
from kat_training.scores import Scores, scores
from kat_training.subject_engine import EngineSubject
from tests.fakes.model_cache import MODELS

QUESTIONS = 48
AT_ONCE = 8


@pytest.fixture(scope="module")
def figures() -> Scores:
    """Of the first held-out questions, in float32: the same on every machine, but for the last bits."""
    engine = load_engine("default", models_dir=MODELS, engine="transformers", dtype="float32", max_batch=AT_ONCE)

    async def ask() -> Scores:
        try:
            samples = list(make_corpus(CorpusPlan(train=0)).samples)[:QUESTIONS]
            subject = EngineSubject(engine, max_tokens=192)
            return scores(
                await evaluate(
                    subject, samples, ModeAsked.AUTO, run_tests=passes, at_once=AT_ONCE, progress=lambda: None
                )
            )
        finally:
            await engine.close()

    return asyncio.run(ask())


def test_it_chooses_the_mode_that_is_due(figures: Scores) -> None:
    assert figures.mode_accuracy is not None
    assert figures.mode_accuracy >= 0.95


def test_it_answers_most_questions_right(figures: Scores) -> None:
    assert figures.answer_accuracy is not None
    assert figures.answer_accuracy >= 0.5
