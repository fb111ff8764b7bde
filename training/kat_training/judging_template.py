"""The chat template of a model that judges: its generation prompt ends inside the judge segment, as KAT-V1's does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from transformers import PreTrainedTokenizerBase

from kat_training.sample import Message

JUDGING_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<judge>\\n' }}{% endif %}"
)
"""ChatML without a system turn of its own. It knows no tools: the predictor writes these out as text."""


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The tokens of a conversation up to where the judgement begins, as the predictor makes them."""
    chat = [{"role": each.role, "content": each.content} for each in messages]
    text = tokenizer.apply_chat_template(
        chat, chat_template=JUDGING_TEMPLATE, tokenize=False, add_generation_prompt=True
    )
    return list(tokenizer.encode(str(text), add_special_tokens=False))
