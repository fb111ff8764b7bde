"""A model small enough to be made anew in every test process, and a tokenizer that writes every byte."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from kat_predictor.engines.attention import GROUPED_ATTENTION
from kat_predictor.engines.detokenize import Vocabulary
from kat_predictor.engines.forward import Forward
from tests.fakes.batch_bench import Bench

# There is too little work here to share it out, and other tests run beside these.
torch.set_num_threads(1)

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think_on>"]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level: 256 tokens of one byte each, a few longer ones, and the special tokens above."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    merges = [("t", "h"), ("th", "e"), ("a", "n"), ("Ġ", "a")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call] # not typed there
        tokenizer_object=backend, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


@pytest.fixture(scope="session")
def plain_model(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Two layers of Qwen2, the family of KAT-V1-40B, with random weights, as transformers runs them."""
    torch.manual_seed(20250705)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        # Far from nought, so that the likeliest token is likeliest by a margin that no rounding crosses.
        initializer_range=0.5,
        eos_token_id=None,
        bos_token_id=None,
    )
    made = Qwen2ForCausalLM(config)  # type: ignore[no-untyped-call] # not typed there
    made.train(mode=False)
    return made


@pytest.fixture(scope="session")
def model(plain_model: PreTrainedModel) -> PreTrainedModel:
    """The same weights as the engine runs them."""
    ours = copy.deepcopy(plain_model)
    ours.set_attn_implementation(GROUPED_ATTENTION)
    return ours


@pytest.fixture(scope="session")
def forward(model: PreTrainedModel) -> Forward:
    return Forward(model)


@pytest.fixture(scope="session")
def reference(plain_model: PreTrainedModel) -> Callable[[list[int], int], list[int]]:
    """Greedy decoding the plain way: the whole sequence computed again for each token, no cache, no batch."""

    def decode(prompt: list[int], count: int) -> list[int]:
        tokens = list(prompt)
        with torch.inference_mode():
            for _ in range(count):
                tokens.append(int(plain_model(torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
        return tokens[len(prompt) :]

    return decode


@pytest.fixture
def prompts() -> Callable[[int], list[int]]:
    """Random prompts of a given length, the same in every run."""
    source = random.Random(7)
    return lambda length: [source.randrange(256) for _ in range(length)]


@pytest.fixture
def bench(forward: Forward, tokenizer: PreTrainedTokenizerFast) -> Callable[..., Bench]:
    def make(stop_ids: frozenset[int] = frozenset(), **sizes: Any) -> Bench:
        return Bench(forward, Vocabulary(tokenizer, stop_ids), stop_ids, **sizes)

    return make
