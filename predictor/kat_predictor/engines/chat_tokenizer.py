"""A checkpoint's tokenizer as engines use it: chats to text, text to tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_STOP_TOKENS = ("<|im_end|>", "<|endoftext|>")
"""End a turn in every ChatML model, whether or not its configuration says so."""


class ChatTokenizer:
    """The half of an engine that needs no weights."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    @property
    def chat_template(self) -> str | None:
        template = self._tokenizer.chat_template
        return template.get("default") if isinstance(template, dict) else template

    def render_chat(
        self, messages: Sequence[Mapping[str, object]], tools: Sequence[Mapping[str, object]] | None
    ) -> str:
        """The text of the prompt, generation prompt included.

        Raises ValueError where there is no template, or it refuses the messages.
        """
        if self.chat_template is None:
            raise ValueError("the model has no chat template")
        chat: list[Any] = [dict(message) for message in messages]
        try:
            text = self._tokenizer.apply_chat_template(
                chat,
                tools=[dict(tool) for tool in tools] if tools else None,
                tokenize=False,
                add_generation_prompt=True,
            )
        # A template is a program: it refuses by its own error, and trips over a missing or odd field by Python's.
        except (TemplateError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"the model's chat template refuses the messages: {error}") from error
        return str(text)

    def encode(self, text: str) -> list[int]:
        """Token ids; special tokens written in the text are recognised, none are added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))


def stop_ids(tokenizer: PreTrainedTokenizerBase, *configurations: object) -> frozenset[int]:
    """Ids that end a sequence: of the tokenizer, of a model's configurations, and those of ChatML."""
    found: set[int] = set()
    for source in (tokenizer, *configurations):
        ids = getattr(source, "eos_token_id", None)
        found.update(ids if isinstance(ids, list) else [] if ids is None else [ids])
    vocabulary = tokenizer.get_vocab()
    found.update(vocabulary[token] for token in _STOP_TOKENS if token in vocabulary)
    return frozenset(found)
