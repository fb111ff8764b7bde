"""Each tag becomes one token of a checkpoint that is otherwise what it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from kat_predictor.autothink.grammar import TAGS
from kat_predictor.engines.tag_tokens import add_tag_tokens
from tests.fakes.tiny_checkpoint import CHATML, tiny_checkpoint

SPARE = tuple(f"<spare_{number}>" for number in range(len(TAGS)))
FIRST = 257
"""The first of the spare tokens."""
TURN = "No need.\n</judge>\n\n<think_off>\n<answer>\n42\n</answer>"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "checkpoint", special=(CHATML[0], *SPARE, *CHATML[1:]))


@pytest.fixture
def tagged(checkpoint: Path) -> Path:
    add_tag_tokens(checkpoint, range(FIRST, FIRST + len(TAGS)))
    return checkpoint


def tokenizer_of(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


def embedding(folder: Path) -> torch.Tensor:
    return load_file(folder / "model.safetensors")["model.embed_tokens.weight"]


def test_a_tag_is_one_token(tagged: Path) -> None:
    tokenizer = tokenizer_of(tagged)
    assert [tokenizer.encode(tag, add_special_tokens=False) for tag in TAGS] == [
        [FIRST + number] for number in range(len(TAGS))
    ]


def test_a_turn_comes_back_as_it_was_written_without_special_tokens(tagged: Path) -> None:
    tokenizer = tokenizer_of(tagged)
    ids = tokenizer.encode(TURN + CHATML[-1], add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == TURN


def test_the_vocabulary_keeps_its_size_and_other_text_its_tokens(checkpoint: Path) -> None:
    before = tokenizer_of(checkpoint)
    text, size = "Is 7 < 9? 是。" + CHATML[1], len(before)
    ids = before.encode(text, add_special_tokens=False)
    add_tag_tokens(checkpoint, range(FIRST, FIRST + len(TAGS)))
    after = tokenizer_of(checkpoint)
    assert (len(after), after.encode(text, add_special_tokens=False)) == (size, ids)


def test_rows_of_tags_are_of_the_usual_length_and_easily_told_apart(tagged: Path) -> None:
    rows = embedding(tagged).float()
    tags = rows[FIRST : FIRST + len(TAGS)]
    torch.testing.assert_close(tags.norm(dim=1), rows.norm(dim=1).median().expand(len(TAGS)), rtol=0.05, atol=0)
    alike = torch.nn.functional.normalize(tags, dim=1) @ torch.nn.functional.normalize(tags, dim=1).T
    assert (alike - torch.eye(len(TAGS))).max() < 0.9


def test_all_other_rows_stay(checkpoint: Path) -> None:
    before = embedding(checkpoint).clone()
    add_tag_tokens(checkpoint, range(FIRST, FIRST + len(TAGS)))
    after = embedding(checkpoint)
    kept = [row for row in range(len(before)) if not FIRST <= row < FIRST + len(TAGS)]
    assert torch.equal(after[kept], before[kept])


def test_the_checkpoint_loads(tagged: Path) -> None:
    ids = tokenizer_of(tagged).encode(TURN, return_tensors="pt")
    assert torch.isfinite(AutoModelForCausalLM.from_pretrained(tagged)(input_ids=ids).logits).all()


def test_a_token_that_is_not_special_is_not_taken(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match=r"no special tokens of this tokenizer: \[7\]"):
        add_tag_tokens(checkpoint, [7, *range(FIRST + 1, FIRST + len(TAGS))])


def test_too_few_tokens_are_refused(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        add_tag_tokens(checkpoint, [FIRST])
