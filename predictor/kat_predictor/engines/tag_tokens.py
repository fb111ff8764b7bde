"""Makes each tag of KAT's grammar one token of a checkpoint, in the place of special tokens that nothing uses.

Spelled out, the tags of a turn that thinks take 30 of SmolLM2's tokens, more than the rest of many a turn. The vocabulary
keeps its size, so that the checkpoint is an ordinary one for every engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from kat_predictor.autothink.grammar import TAGS

_TOKENIZER: Final = "tokenizer.json"
_WEIGHTS: Final = "model.safetensors"
_EMBEDDING: Final = "model.embed_tokens.weight"
_OWN_SHARE: Final = 0.5
"""Of a tag's row, by length, what it has in common with no other: rows that are nearly the same are hard to tell apart."""


def add_tag_tokens(folder: Path, spare: Sequence[int]) -> None:
    """Change a checkpoint's tokenizer and embedding.

    A tag's row is the mean of the rows of what it was spelled with, and beside it a direction of its own, which is the same
    whenever it is made.

    Args:
        folder: A checkpoint whose weights are in one file.
        spare: Special tokens that the model has no use for, one for each of `TAGS`.

    Raises:
        ValueError: One of these is no special token of the checkpoint, or there are too few.
        OSError: A file cannot be read or written.
        SafetensorError: The weights cannot be read or written.
    """
    taken = dict(zip(TAGS, spare, strict=True))
    text = (folder / _TOKENIZER).read_text("utf-8")
    spelled = {tag: Tokenizer.from_str(text).encode(tag, add_special_tokens=False).ids for tag in TAGS}
    weights = load_file(folder / _WEIGHTS)
    rows = weights[_EMBEDDING].float()
    usual = rows.norm(dim=1).median()
    for tag, token in taken.items():
        own = _signs(tag, rows.shape[1]) * _OWN_SHARE
        common = torch.nn.functional.normalize(rows[spelled[tag]].mean(dim=0), dim=0) * (1 - _OWN_SHARE)
        weights[_EMBEDDING][token] = (torch.nn.functional.normalize(own + common, dim=0) * usual).to(
            weights[_EMBEDDING].dtype
        )
    (folder / _TOKENIZER).write_bytes(orjson.dumps(renamed(orjson.loads(text), taken)))
    # transformers loads no file that does not say whose format it is.
    save_file(weights, folder / _WEIGHTS, metadata={"format": "pt"})


def renamed(tokenizer: dict[str, Any], taken: dict[str, int]) -> dict[str, Any]:
    """A tokenizer's JSON in which these tokens are written so, and are text like any other when they are decoded.

    Raises:
        ValueError: One is no special token of it.
    """
    names = {token: tag for tag, token in taken.items()}
    special = {added["id"]: added["content"] for added in tokenizer["added_tokens"] if added["special"]}
    if missing := sorted(names.keys() - special.keys()):
        raise ValueError(f"no special tokens of this tokenizer: {missing}")
    # Some tokenizers list them there, too.
    vocabulary = {names.get(token, word): token for word, token in tokenizer["model"]["vocab"].items()}
    return {
        **tokenizer,
        "added_tokens": [
            {**added, "content": names[added["id"]], "special": False} if added["id"] in names else added
            for added in tokenizer["added_tokens"]
        ],
        "model": {**tokenizer["model"], "vocab": vocabulary},
    }


def _signs(tag: str, length: int) -> torch.Tensor:
    """A direction that depends on the tag alone: a row of +1 and -1, at length 1."""
    bits = hashlib.shake_256(tag.encode()).digest(length)
    signs = torch.tensor([1.0 if bit & 1 else -1.0 for bit in bits])
    return torch.nn.functional.normalize(signs, dim=0)
