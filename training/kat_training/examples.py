"""From samples to tokens: what a model reads, and which of it is to be learnt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from kat_training.base_model import end_of_turn
from kat_training.errors import CorpusError
from kat_training.judging_template import prompt_ids
from kat_training.sample import Sample


@dataclass(frozen=True, slots=True)
class Example:
    """One sample in tokens."""

    input_ids: tuple[int, ...]
    prompt_length: int
    """Tokens before those to be learnt."""

    @property
    def labels(self) -> list[int]:
        """The ids of what is to be learnt; -100, which losses leave out, before."""
        return [-100] * self.prompt_length + list(self.input_ids[self.prompt_length :])


def encode(sample: Sample, tokenizer: PreTrainedTokenizerBase) -> Example:
    """Prompt and completion are tokenised apart, as in serving, where the second is generated behind the first."""
    prompt = prompt_ids(tokenizer, sample.messages)
    completion = tokenizer.encode(sample.completion, add_special_tokens=False)
    return Example((*prompt, *completion, end_of_turn(tokenizer)), len(prompt))


def dataset(samples: Iterable[Sample], tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> tuple[Dataset, int]:
    """The samples as a trainer takes them, and how many were left out as too long: cut ones would teach not to end.

    Raises:
        CorpusError: None is left.
    """
    examples = [encode(sample, tokenizer) for sample in samples]
    fitting = [each for each in examples if len(each.input_ids) <= max_length]
    if not fitting:
        raise CorpusError(f"no sample of {len(examples)} fits into {max_length} tokens")
    return _as_dataset(fitting), len(examples) - len(fitting)


def _as_dataset(examples: Sequence[Example]) -> Dataset:
    return Dataset.from_dict({
        "input_ids": [list(each.input_ids) for each in examples],
        "labels": [each.labels for each in examples],
    })  # fmt: skip
