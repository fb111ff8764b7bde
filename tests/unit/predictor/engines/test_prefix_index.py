from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kat_predictor.engines.prefix_cache import BLOCK_TOKENS, PrefixIndex


def sequence(*blocks: int) -> list[int]:
    """Each number stands for a whole block of itself."""
    return [number for number in blocks for _ in range(BLOCK_TOKENS)]


def test_finds_the_longest_kept_prefix_in_order() -> None:
    index = PrefixIndex(8)
    kept = [place for _, place in index.add(sequence(1, 2, 3))]

    assert index.find(sequence(1, 2, 9)) == kept[:2]


def test_keeps_whole_blocks_only() -> None:
    index = PrefixIndex(8)
    index.add(sequence(1, 2)[:-1])

    assert len(index.find(sequence(1, 2))) == 1


def test_a_shared_prefix_takes_its_places_once() -> None:
    index = PrefixIndex(8)
    index.add(sequence(1, 2, 3))

    assert [number for number, _ in index.add(sequence(1, 2, 4))] == [2]


def test_the_same_block_after_another_prefix_is_another_block() -> None:
    index = PrefixIndex(8)
    index.add(sequence(1, 2))

    assert index.find(sequence(2)) == []


def test_when_full_the_least_recently_used_sequence_goes_from_its_end() -> None:
    index = PrefixIndex(4)
    index.add(sequence(1, 2))
    index.add(sequence(3, 4))
    index.find(sequence(1, 2))

    index.add(sequence(5))

    assert [len(index.find(sequence(*blocks))) for blocks in ((1, 2), (3, 4), (5,))] == [2, 1, 1]


def test_a_sequence_longer_than_the_cache_keeps_its_beginning() -> None:
    index = PrefixIndex(2)
    index.add(sequence(1, 2, 3, 4))

    assert len(index.find(sequence(1, 2, 3, 4))) == 2


def test_an_index_without_places_keeps_nothing() -> None:
    index = PrefixIndex(0)

    assert index.add(sequence(1)) == []


@given(
    places=st.integers(1, 6),
    sequences=st.lists(st.lists(st.integers(0, 2), max_size=5).map(lambda blocks: sequence(*blocks)), max_size=30),
)
def test_what_is_found_is_always_what_was_last_written_to_those_places(places: int, sequences: list[list[int]]) -> None:
    """Against a model of the pool: each place holds the whole prefix that ends in it."""
    index = PrefixIndex(places)
    pool: dict[int, list[int]] = {}
    for tokens in sequences:
        for number, place in index.add(tokens):
            pool[place] = tokens[: (number + 1) * BLOCK_TOKENS]
        found = index.find(tokens)
        assert [pool[place] for place in found] == [
            tokens[: (number + 1) * BLOCK_TOKENS] for number in range(len(found))
        ]
        assert len(index) <= places
