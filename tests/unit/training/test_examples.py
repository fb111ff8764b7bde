"""Samples in tokens: tokenised as in serving, the turn alone to be learnt, nothing cut."""

from __future__ import annotations

import pytest

from kat_training.base_model import end_of_turn
from kat_training.errors import CorpusError
from kat_training.examples import dataset, encode
from kat_training.judging_template import prompt_ids
from kat_training.sample import Message
from tests.fakes.tiny_checkpoint import byte_tokenizer
from tests.fakes.training_samples import CHAIN, SUM

TOKENIZER = byte_tokenizer()


def test_the_prompt_ends_where_the_judgement_begins() -> None:
    messages = [Message("system", "Be brief."), Message("user", "2 + 2?"), Message("assistant", "4"), SUM.messages[0]]
    assert TOKENIZER.decode(prompt_ids(TOKENIZER, messages)) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n"
        "<|im_start|>assistant\n4<|im_end|>\n<|im_start|>user\nWhat is 7 + 5?<|im_end|>\n"
        "<|im_start|>assistant\n<judge>\n"
    )


def test_the_completion_and_the_end_of_the_turn_are_learnt_and_the_prompt_is_not() -> None:
    labels = encode(CHAIN, TOKENIZER).labels
    learnt = [label for label in labels if label != -100]
    assert TOKENIZER.decode(learnt[:-1]) == CHAIN.completion
    assert learnt[-1] == end_of_turn(TOKENIZER)
    assert labels[: -len(learnt)] == [-100] * len(prompt_ids(TOKENIZER, CHAIN.messages))


def test_a_sample_that_is_too_long_is_left_out_and_counted() -> None:
    length = len(encode(SUM, TOKENIZER).input_ids)
    kept, too_long = dataset([SUM, CHAIN], TOKENIZER, max_length=length)
    assert (len(kept), too_long, kept[0]["input_ids"]) == (1, 1, list(encode(SUM, TOKENIZER).input_ids))


def test_a_corpus_of_which_nothing_fits_is_refused() -> None:
    with pytest.raises(CorpusError, match="no sample of 2 fits into 5 tokens"):
        dataset([SUM, CHAIN], TOKENIZER, max_length=5)
