from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from kat_predictor.engines.detokenize import Detokenizer, Vocabulary


@pytest.fixture(scope="session")
def vocabulary(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    return Vocabulary(tokenizer, frozenset())


def pieces(vocabulary: Vocabulary, token_ids: list[int]) -> list[str]:
    text = Detokenizer(vocabulary)
    return [*(text.feed(token_id) for token_id in token_ids), text.finish()]


@given(token_ids=st.lists(st.integers(0, 259), max_size=40))
def test_the_pieces_joined_are_the_decoded_whole_for_any_bytes(vocabulary: Vocabulary, token_ids: list[int]) -> None:
    assert "".join(pieces(vocabulary, token_ids)) == vocabulary.decode(token_ids)


@given(text=st.text(max_size=40))
def test_the_pieces_joined_are_the_text_that_was_encoded(
    vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    token_ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)

    assert "".join(pieces(vocabulary, token_ids)) == text


def test_a_character_appears_when_its_last_byte_does(
    vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerFast
) -> None:
    assert pieces(vocabulary, tokenizer.encode("a想b")) == ["a", "", "", "想", "b", ""]


def test_a_character_that_never_completes_ends_as_a_replacement(
    vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerFast
) -> None:
    assert pieces(vocabulary, tokenizer.encode("想")[:2]) == ["", "", "\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>", "<|endoftext|>"])
def test_control_tokens_have_no_text(vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerFast, token: str) -> None:
    [token_id] = tokenizer.encode(token)

    assert pieces(vocabulary, [token_id]) == ["", ""]


def test_a_tag_of_the_grammar_keeps_its_text_although_it_is_a_special_token(
    vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerFast
) -> None:
    [token_id] = tokenizer.encode("<think_on>")

    assert pieces(vocabulary, [token_id]) == ["<think_on>", ""]


def test_stop_tokens_have_no_text_whatever_they_look_like(tokenizer: PreTrainedTokenizerFast) -> None:
    [token_id] = tokenizer.encode("<think_on>")

    assert pieces(Vocabulary(tokenizer, frozenset({token_id})), [token_id]) == ["", ""]


def test_the_work_for_a_token_does_not_grow_with_the_sequence(
    vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    decode = vocabulary.decode

    def watched(token_ids: list[int]) -> str:
        decoded.append(len(token_ids))
        return decode(token_ids)

    monkeypatch.setattr(vocabulary, "decode", watched)

    pieces(vocabulary, tokenizer.encode("the anthem of the 想 " * 200))

    assert max(decoded) <= 8
