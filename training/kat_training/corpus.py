"""Makes a dual-regime corpus from the templates: how many of which mode, language and difficulty, and for which split."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_predictor.autothink.instruction_rule import Decided
from kat_training.catalogue import FAMILIES, split_templates
from kat_training.dialogue_scripts import SCRIPTS, Script
from kat_training.dialogues import conversation, draw_dialogue, script_groups
from kat_training.duplicates import Seen
from kat_training.errors import CorpusError
from kat_training.family import Family, Template
from kat_training.instructed import PHRASES, instruct, phrase_groups
from kat_training.quality import Fault, fault
from kat_training.sample import Difficulty, Language, Message, Sample, Split
from kat_training.second_look import with_second_look

ON_SHARE: Final = 0.35
"""The article's training mix has 34.8 % think-on."""
HARD_SHARE: Final = 0.10
"""At least so many hard samples are kept, whatever is dropped."""
_TRIES: Final = 100
"""Draws for a sample before its kind counts as used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusPlan:
    """What to make. Shares are of each split; instructed questions and agent dialogues count towards the modes."""

    train: int = 4_000
    held_out: int = 400
    seed: int = 0
    on_share: float = ON_SHARE
    hard_share: float = 0.12
    chinese_share: float = 0.25
    instruction_share: float = 0.08
    dialogue_share: float = 0.06


@dataclass(frozen=True, slots=True)
class Corpus:
    """Samples of both splits, and how many were dropped for what."""

    samples: tuple[Sample, ...]
    drops: Counter[Fault]

    def split(self, split: Split) -> tuple[Sample, ...]:
        return tuple(sample for sample in self.samples if sample.split == split)


def make_corpus(plan: CorpusPlan, families: Sequence[Family] = FAMILIES) -> Corpus:
    """Draw a corpus. The same plan gives the same samples in the same order.

    Raises:
        CorpusError: The shares cannot all be had, or the templates have no more different questions.
    """
    if not HARD_SHARE <= plan.hard_share <= plan.on_share:
        raise CorpusError(f"the hard share must be {HARD_SHARE} at least, and the think-on share at most")
    maker = _Maker(plan, families)
    # Held out first, so that what is nearly the same question is kept out of the training split.
    held_out = maker.make("held_out", plan.held_out)
    train = maker.make("train", plan.train)
    return Corpus((*train, *held_out), maker.drops)


def extended(corpus: Corpus, samples: Iterable[Sample]) -> Corpus:
    """The corpus with samples from elsewhere behind its own; those that it has already, or nearly, are dropped."""
    seen, drops = Seen(), Counter(corpus.drops)
    for sample in corpus.samples:
        seen.add(sample)
    added: list[Sample] = []
    for sample in samples:
        if seen.has(sample):
            drops[Fault.DUPLICATE] += 1
        else:
            seen.add(sample)
            added.append(sample)
    return Corpus((*corpus.samples, *added), drops)


def sample_id(messages: Sequence[Message]) -> str:
    """A name that a conversation has in every corpus."""
    text = "\x00".join(f"{message.role}\x01{message.content}" for message in messages)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _proven(_code: str, _tests: Sequence[str]) -> bool:
    """The templates' own code: the unit tests run it, once, instead of every corpus in processes of its own."""
    return True


class _Maker:
    def __init__(self, plan: CorpusPlan, families: Sequence[Family]) -> None:
        self._plan = plan
        self._seen = Seen()
        self.drops: Counter[Fault] = Counter()
        self._templates: defaultdict[tuple[Split, Language, Difficulty], dict[str, list[Template]]] = defaultdict(dict)
        split_of = split_templates(
            {family.name: [each.name for each in family.templates()] for family in families}, seed=plan.seed
        )
        for family in families:
            for template in family.templates():
                cell = self._templates[split_of[template.name], family.language, family.difficulty]
                cell.setdefault(family.name, []).append(template)
        self._phrase_split = split_templates(phrase_groups(), seed=plan.seed)
        script_split = split_templates(script_groups(), seed=plan.seed)
        self._scripts: dict[Split, list[Script]] = {"train": [], "held_out": []}
        for script in SCRIPTS:
            self._scripts[script_split[script.name]].append(script)

    def make(self, split: Split, size: int) -> list[Sample]:
        plan, rng = self._plan, Random(f"{self._plan.seed}:{split}")  # noqa: S311 - no secret hangs on it
        dialogues = round(size * plan.dialogue_share / 3)
        instructed = round(size * plan.instruction_share)
        on = round(size * plan.on_share)
        told_on = instructed // 2
        hard = math.ceil(size * plan.hard_share)
        medium = on - dialogues - told_on - hard
        easy = size - on - 2 * dialogues - (instructed - told_on)
        if min(medium, easy) < 0:
            raise CorpusError("dialogues, instructions and hard samples take more than the modes' shares leave")
        samples: list[Sample] = []
        # A plan counts modes; which of the difficulties a mode has is the templates' prior.
        cells: tuple[tuple[int, Difficulty], ...] = ((hard, "hard"), (medium, "medium"), (easy, "easy"))
        for count, difficulty in cells:
            samples += self._keep(count, partial(self._plain, split, difficulty, rng))
        told: tuple[tuple[int, Decided], ...] = ((told_on, Mode.ON), (instructed - told_on, Mode.OFF))
        for count, mode in told:
            samples += self._keep(count, partial(self._instructed, split, mode, rng))
        samples += self._keep(dialogues, partial(self._dialogue, split, rng))
        rng.shuffle(samples)
        return samples

    def _keep(self, count: int, draw: Callable[[], list[Sample]]) -> list[Sample]:
        """So many draws that are fit and new; one that is not fit in a part is dropped altogether."""
        kept: list[Sample] = []
        for number in range(count):
            for _ in range(_TRIES):
                drawn = draw()
                if self._fit(drawn):
                    kept += drawn
                    break
            else:
                raise CorpusError(f"of {count} samples of a kind there are only {number} different ones; ask for fewer")
        return kept

    def _fit(self, drawn: Iterable[Sample]) -> bool:
        drawn = list(drawn)
        for sample in drawn:
            found = Fault.DUPLICATE if self._seen.has(sample) else fault(sample, _proven)
            if found is not None:
                self.drops[found] += 1
                return False
        for sample in drawn:
            self._seen.add(sample)
        return True

    def _language(self, rng: Random) -> Language:
        return "zh" if rng.random() < self._plan.chinese_share else "en"

    def _plain(self, split: Split, difficulty: Difficulty, rng: Random) -> list[Sample]:
        language = self._language(rng)
        families = self._templates[split, language, difficulty]
        if not families:
            raise CorpusError(f"there is no {difficulty} template in the language {language}")
        template = rng.choice(families[rng.choice(list(families))])
        family, problem = template.family, template.family.draw(rng)
        messages = (Message("user", template.question(problem)),)
        sample = Sample(
            id=sample_id(messages),
            split=split,
            template=template.name,
            family=family.name,
            kind=family.kind,
            language=family.language,
            difficulty=family.difficulty,
            mode=family.mode,
            mode_from="prior",
            messages=messages,
            judgement=family.judgement,
            working=with_second_look(problem.working, family.language, rng),
            answer=problem.answer,
            check=family.check,
            accepted=problem.accepted,
            tests=problem.tests,
        )
        return [sample]

    def _instructed(self, split: Split, mode: Decided, rng: Random) -> list[Sample]:
        # Both easy and medium ones, so that the words decide and not the question.
        [sample] = self._plain(split, rng.choice(("easy", "medium")), rng)
        phrases = [each for each in PHRASES[sample.language, mode] if self._phrase_split[each] == split]
        told = instruct(sample, mode, rng.choice(phrases))
        return [replace(told, id=sample_id(told.messages))]

    def _dialogue(self, split: Split, rng: Random) -> list[Sample]:
        language = self._language(rng)
        script = rng.choice([script for script in self._scripts[split] if script.language == language])
        turns = draw_dialogue(script, rng)
        name = sample_id(conversation(turns))
        return [
            Sample(
                id=sample_id(conversation(turns[: at + 1])),
                split=split,
                template=script.name,
                family=f"agent-{language}",
                kind="agent",
                language=language,
                difficulty="medium" if turn.mode is Mode.ON else "easy",
                mode=turn.mode,
                mode_from="prior",
                messages=conversation(turns[: at + 1]),
                judgement=turn.judgement,
                working=with_second_look(turn.working, language, rng),
                answer=turn.answer,
                check=turn.check,
                dialogue=name,
            )
            for at, turn in enumerate(turns)
        ]
