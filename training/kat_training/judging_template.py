"""A conversation as a model that judges is asked, in training as in serving."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from kat_predictor.judging_template import JUDGING_TEMPLATE
from kat_training.sample import Message


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The tokens of a conversation up to where the judgement begins, as the predictor makes them."""
    chat = [{"role": each.role, "content": each.content} for each in messages]
    text = tokenizer.apply_chat_template(
        chat, chat_template=JUDGING_TEMPLATE, tokenize=False, add_generation_prompt=True
    )
    return list(tokenizer.encode(str(text), add_special_tokens=False))
