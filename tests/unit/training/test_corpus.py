"""A corpus has the shares it was asked for, keeps its splits apart, and is the same for the same seed."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from kat.usage_event import Mode
from kat_predictor.autothink.instruction import explicit_instruction
from kat_training.catalogue import FAMILIES
from kat_training.corpus import Corpus, CorpusPlan, extended, make_corpus
from kat_training.duplicates import Seen
from kat_training.errors import CorpusError
from kat_training.quality import Fault
from tests.fakes.training_samples import SUM

PLAN = CorpusPlan(train=200, held_out=100, seed=7)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return make_corpus(PLAN)


def test_both_splits_have_their_size(corpus: Corpus) -> None:
    assert (len(corpus.split("train")), len(corpus.split("held_out"))) == (200, 100)


def test_thirty_five_of_a_hundred_samples_think_by_default(corpus: Corpus) -> None:
    assert Counter(sample.mode for sample in corpus.split("train")) == {Mode.OFF: 130, Mode.ON: 70}


def test_a_tenth_at_least_is_hard(corpus: Corpus) -> None:
    assert sum(sample.difficulty == "hard" for sample in corpus.split("train")) >= 20


def test_no_template_is_in_both_splits(corpus: Corpus) -> None:
    train, held_out = ({sample.template for sample in corpus.split(split)} for split in ("train", "held_out"))
    assert train.isdisjoint(held_out)


def test_no_question_is_there_twice(corpus: Corpus) -> None:
    seen = Seen()
    repeated = []
    for sample in corpus.samples:
        if seen.has(sample):
            repeated.append(sample.question)
        seen.add(sample)
    assert repeated == []


def test_both_languages_are_there(corpus: Corpus) -> None:
    assert {sample.language for sample in corpus.samples} == {"en", "zh"}


def test_instructions_are_in_the_words_of_their_samples(corpus: Corpus) -> None:
    told = [sample for sample in corpus.samples if sample.mode_from == "instruction"]
    assert {sample.mode for sample in told} == {Mode.ON, Mode.OFF}
    assert all(explicit_instruction(sample.question) is sample.mode for sample in told)


def test_dialogues_are_whole(corpus: Corpus) -> None:
    dialogues = defaultdict(list)
    for sample in corpus.samples:
        if sample.dialogue is not None:
            dialogues[sample.dialogue].append(sample)
    turns = [sorted(each, key=lambda sample: len(sample.messages)) for each in dialogues.values()]
    assert turns
    assert {tuple(sample.mode for sample in each) for each in turns} == {(Mode.OFF, Mode.ON, Mode.OFF)}


def test_the_same_plan_makes_the_same_samples(corpus: Corpus) -> None:
    assert make_corpus(PLAN).samples == corpus.samples


def test_another_seed_makes_others(corpus: Corpus) -> None:
    other = make_corpus(CorpusPlan(train=200, held_out=100, seed=8))
    assert {sample.id for sample in other.samples} != {sample.id for sample in corpus.samples}


def test_more_than_the_templates_have_is_refused_in_one_line() -> None:
    months = [family for family in FAMILIES if family.name in {"next-month-en", "walk-en"}]
    plan = CorpusPlan(
        train=400, held_out=0, hard_share=0.35, chinese_share=0, instruction_share=0, dialogue_share=0
    )  # fmt: skip
    with pytest.raises(CorpusError, match="ask for fewer"):
        make_corpus(plan, months)


def test_a_language_without_templates_is_refused_in_one_line() -> None:
    plan = CorpusPlan(train=100, held_out=0, chinese_share=1)
    with pytest.raises(CorpusError, match="no hard template in the language zh"):
        make_corpus(plan, [family for family in FAMILIES if family.language == "en"])


def test_shares_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(CorpusError, match="leave"):
        make_corpus(CorpusPlan(train=100, held_out=0, on_share=0.2, hard_share=0.2))


def test_less_than_a_tenth_of_hard_samples_is_refused() -> None:
    with pytest.raises(CorpusError, match="hard share"):
        make_corpus(CorpusPlan(hard_share=0.05))


def test_samples_from_elsewhere_come_behind_and_known_ones_are_counted_drops() -> None:
    corpus = Corpus((SUM,), Counter({Fault.DUPLICATE: 1}))
    more = extended(corpus, [SUM])
    assert (more.samples, more.drops[Fault.DUPLICATE]) == ((SUM,), 2)
