"""Words and lists."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training.family import Family, Problem
from kat_training.wordings_lists import WORDINGS

WORDS: Final = (
    "tree", "bird", "stone", "river", "cloud", "table", "green", "lemon", "sheep", "mouse", "bread", "light", "tooth",
    "spoon", "street", "letter", "school", "summer", "window", "garden", "yellow", "coffee", "kitten", "pepper",
    "apple", "chair", "horse", "water", "paper", "plant", "sugar", "train", "house", "bridge", "flower", "butter",
    "winter", "spring", "orange", "silver", "carrot", "rabbit", "puzzle", "basket", "button", "pencil", "castle", "mirror",
)  # fmt: skip
_ORDINALS: Final = {"first": 0, "second": 1, "third": 2, "last": -1}
_CHINESE_ORDINALS: Final = {"第一": 0, "第二": 1, "第三": 2, "最后一": -1}


def _pick(ordinals: dict[str, int]) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        words = rng.sample(WORDS, rng.randint(3, 4))
        ordinal = rng.choice(list(ordinals))
        answer = words[ordinals[ordinal]]
        return Problem({"items": ", ".join(words), "ordinal": ordinal}, answer, f"{ordinal}: {answer}.")

    return draw


def _capitals(rng: Random) -> Problem:
    word = rng.choice(WORDS)
    return Problem({"word": word}, word.upper(), f"{word} -> {word.upper()}.")


def _sorted(rng: Random) -> Problem:
    numbers = rng.sample(range(1, 30), rng.randint(4, 5))
    ordered = sorted(numbers)
    working = "Smallest " + ", then ".join(map(str, ordered)) + "."
    return Problem({"items": ", ".join(map(str, numbers))}, ", ".join(map(str, ordered)), working)


def _spread(rng: Random) -> Problem:
    numbers = rng.sample(range(1, 40), rng.randint(4, 5))
    top, bottom = max(numbers), min(numbers)
    working = f"Largest {top}, smallest {bottom}. {top} - {bottom} = {top - bottom}."
    return Problem({"items": ", ".join(map(str, numbers))}, str(top - bottom), working)


def _even_sum(rng: Random) -> Problem:
    evens, odds = rng.sample(range(2, 20, 2), rng.randint(2, 3)), rng.sample(range(1, 20, 2), 2)
    numbers = [*evens, *odds]
    rng.shuffle(numbers)
    evens = [number for number in numbers if not number % 2]
    steps, total = [f"Even: {', '.join(map(str, evens))}."], evens[0]
    for number in evens[1:]:
        steps.append(f"{total} + {number} = {total + number}.")
        total += number
    return Problem({"items": ", ".join(map(str, numbers))}, str(total), " ".join(steps))


def _letter_count(rng: Random) -> Problem:
    word = rng.choice(WORDS)
    letter = rng.choice(word)
    count, steps = 0, []
    for each in word:
        count += each == letter
        steps.append(f"{each} {count}" if each == letter else each)
    return Problem({"word": word, "letter": letter}, str(count), f"{', '.join(steps)}. So {count}.")


FAMILIES = (
    Family(
        name="pick-en", kind="list", language="en", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="A look at the list, no reasoning needed.", draw=_pick(_ORDINALS),
        wordings=WORDINGS["pick-en"],
    ),
    Family(
        name="pick-zh", kind="list", language="zh", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="看列表即可，直接回答。", draw=_pick(_CHINESE_ORDINALS),
        wordings=WORDINGS["pick-zh"],
    ),
    Family(
        name="capitals-en", kind="string", language="en", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="A change of letters, no reasoning needed.", draw=_capitals,
        wordings=WORDINGS["capitals-en"],
    ),
    Family(
        name="sorted-en", kind="list", language="en", check="list", difficulty="medium", mode=Mode.ON,
        judgement="Putting numbers in order, reasoning needed.", draw=_sorted,
        wordings=WORDINGS["sorted-en"],
    ),
    Family(
        name="sorted-zh", kind="list", language="zh", check="list", difficulty="medium", mode=Mode.ON,
        judgement="要排序，需要推理。", draw=_sorted,
        wordings=WORDINGS["sorted-zh"],
    ),
    Family(
        name="spread-en", kind="list", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="Two searches and a difference, reasoning needed.", draw=_spread,
        wordings=WORDINGS["spread-en"],
    ),
    Family(
        name="even-sum-en", kind="list", language="en", check="number", difficulty="hard", mode=Mode.ON,
        judgement="Selecting and adding, reasoning needed.", draw=_even_sum,
        wordings=WORDINGS["even-sum-en"],
    ),
    Family(
        name="letter-count-en", kind="string", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="Counting letter by letter, reasoning needed.", draw=_letter_count,
        wordings=WORDINGS["letter-count-en"],
    ),
)  # fmt: skip
