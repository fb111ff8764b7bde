"""Most thoughts look a second time, and what they say before is as it was."""

from __future__ import annotations

from random import Random

import pytest

from kat_training.sample import Language
from kat_training.second_look import SHARE, with_second_look

DRAWS = 2_000
WORKINGS: tuple[tuple[Language, str], ...] = (("en", "3 + 4 = 7. So the answer is 7."), ("zh", "3 + 4 = 7。答案：7。"))


@pytest.mark.parametrize(("language", "working"), WORKINGS)
def test_a_thought_begins_with_the_whole_working(language: Language, working: str) -> None:
    assert all(with_second_look(working, language, Random(seed)).startswith(working) for seed in range(50))


@pytest.mark.parametrize(("language", "working"), WORKINGS)
def test_the_share_of_second_looks_is_as_said(language: Language, working: str) -> None:
    rng = Random("second looks")
    looks = sum(with_second_look(working, language, rng) != working for _ in range(DRAWS))
    assert looks / DRAWS == pytest.approx(SHARE, abs=0.03)
