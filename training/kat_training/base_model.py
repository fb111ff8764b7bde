"""The model that training starts from, with a tokenizer that writes KAT's grammar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from peft import LoraConfig, TaskType
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from kat_predictor.autothink.grammar import ANSWER_CLOSE, THINK_OFF, THINK_ON
from kat_predictor.engines.default_model import DEFAULT_MODEL, DefaultModelError, untaught_model
from kat_predictor.judging_template import JUDGING_TEMPLATE
from kat_training.errors import ModelError

_TURN: Final = ("<|im_start|>", "<|im_end|>")
_LAYERS: Final = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True, slots=True)
class Base:
    """A model to train, on the CPU or the first GPU."""

    name: str
    """As it was asked for: `default`, a folder or a name on the Hub."""
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_base(name: str, *, models_dir: Path, dtype: torch.dtype = torch.float32) -> Base:
    """Load a base model.

    Args:
        name: `default` for what the default model is taught from, a checkpoint folder, or a name on the Hub.
        models_dir: Where the bundled model is kept.
        dtype: Of the weights. Those of a frozen model may be bfloat16, trained ones are better in float32.

    Raises:
        ModelError: It cannot be loaded, or its tokenizer cannot write KAT's grammar in ChatML.
    """
    try:
        path = str(untaught_model(models_dir)) if name == DEFAULT_MODEL else name
        local = Path(path).is_dir()
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=local)
        check_tokenizer(tokenizer, name)
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, local_files_only=local, attn_implementation=_attention()
        )
    except (DefaultModelError, OSError, ValueError) as error:
        raise ModelError(f"the base model {name} cannot be loaded: {error}") from error
    tokenizer.chat_template = JUDGING_TEMPLATE
    return Base(name, model, tokenizer)


def _attention() -> str | None:
    """The library's choice, but on a CPU, where the fused kernel's way back is slow.

    A step of 12 samples of a cold start takes 3.1 s with it and 2.3 s without, on two cores.
    """
    return None if torch.cuda.is_available() else "eager"


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """A model that cannot end a turn, or reads a tag as something else, would learn a wrong grammar without a word.

    Raises:
        ModelError: `<|im_start|>` and `<|im_end|>` are not one token each, or KAT's tags do not survive it.
    """
    vocabulary = tokenizer.get_vocab()
    if missing := [token for token in _TURN if token not in vocabulary]:
        raise ModelError(f"the tokenizer of {name} has no {' and no '.join(missing)}: the recipe is for ChatML models")
    for text in (f"思考 {THINK_ON}\n", f"think {THINK_OFF}\n", f"42\n{ANSWER_CLOSE}"):
        read = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False), skip_special_tokens=True)
        if read != text:
            raise ModelError(f"the tokenizer of {name} reads {text!r} as {read!r}: the grammar would be lost")


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that every turn ends with."""
    # Not by `get_vocab`, which copies the whole of it.
    (token,) = list(tokenizer.encode(_TURN[1], add_special_tokens=False))
    return int(token)


def lora_config(rank: int, *, dropout: float = 0.0) -> LoraConfig:
    """Low-rank adapters on every linear layer of every block."""
    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=dropout,
        target_modules=_LAYERS,
        task_type=TaskType.CAUSAL_LM,
    )
