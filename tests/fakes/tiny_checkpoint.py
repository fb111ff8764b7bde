"""A checkpoint small enough to be trained in a moment: two layers, and a tokenizer that writes every byte."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHATML: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def tiny_checkpoint(folder: Path, *, special: tuple[str, ...] = CHATML, seed: int = 0) -> Path:
    """Random weights and a tokenizer with these special tokens; returns the folder."""
    tokenizer = byte_tokenizer(special)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1_024,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)  # type: ignore[no-untyped-call] # not typed there
    model.save_pretrained(folder)
    return folder


def byte_tokenizer(special: tuple[str, ...] = CHATML) -> PreTrainedTokenizerFast:
    """256 tokens of one byte each, and the special ones, of which the last ends a turn."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in special])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call] # not typed there
        tokenizer_object=backend, eos_token=special[-1], pad_token=special[0]
    )
