"""Words and lists."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training.family import Family, Problem
from kat_training.sample import Language
from kat_training.steps import added, taken, written
from kat_training.wordings_lists import WORDINGS

WORDS: Final = (
    "tree", "bird", "stone", "river", "cloud", "table", "green", "lemon", "sheep", "mouse", "bread", "light", "tooth",
    "spoon", "street", "letter", "school", "summer", "window", "garden", "yellow", "coffee", "kitten", "pepper",
    "apple", "chair", "horse", "water", "paper", "plant", "sugar", "train", "house", "bridge", "flower", "butter",
    "winter", "spring", "orange", "silver", "carrot", "rabbit", "puzzle", "basket", "button", "pencil", "castle", "mirror",
)  # fmt: skip
_ORDINALS: Final = {"first": 0, "second": 1, "third": 2, "last": -1}
_CHINESE_ORDINALS: Final = {"第一": 0, "第二": 1, "第三": 2, "最后一": -1}


def _pick(language: Language) -> Callable[[Random], Problem]:
    ordinals = {"en": _ORDINALS, "zh": _CHINESE_ORDINALS}[language]

    def draw(rng: Random) -> Problem:
        words = rng.sample(WORDS, rng.randint(3, 4))
        ordinal = rng.choice(list(ordinals))
        at = ordinals[ordinal] % len(words)
        listed = ", ".join(f"{number} {word}" for number, word in enumerate(words, 1))
        answer = words[at]
        steps = {
            "en": (
                f"The list has {len(words)} words: {listed}",
                f"Asked: the {ordinal}",
                f"The {ordinal} is number {at + 1}: {answer}",
                f"Check: number {at + 1} of {', '.join(words)} is {answer}",
            ),
            "zh": (f"共{len(words)}个：{listed}", f"问{ordinal}个", f"就是第{at + 1}个：{answer}"),
        }[language]
        values = {"items": ", ".join(words), "ordinal": ordinal}
        return Problem(values, answer, written(language, answer, *steps))

    return draw


def _capitals(rng: Random) -> Problem:
    word = rng.choice(WORDS)
    letters = ", ".join(f"{letter} -> {letter.upper()}" for letter in word)
    steps = (
        f"The letters of {word}: {' '.join(word)}",
        f"Each in upper case: {letters}",
        f"Together: {' '.join(word.upper())}",
    )
    return Problem({"word": word}, word.upper(), written("en", word.upper(), *steps))


def _sorted(language: Language) -> Callable[[Random], Problem]:
    form = {"en": "Least {}, left {}", "zh": "最小{}，剩{}"}[language]

    def draw(rng: Random) -> Problem:
        numbers = rng.sample(range(1, 30), rng.randint(4, 5))
        ordered, steps = sorted(numbers), []
        for at, number in enumerate(ordered[:-1], 1):
            rest = ", ".join(str(each) for each in numbers if each in ordered[at:])
            steps.append(form.format(number, rest))
        answer = ", ".join(map(str, ordered))
        return Problem({"items": ", ".join(map(str, numbers))}, answer, written(language, answer, *steps))

    return draw


def _spread(rng: Random) -> Problem:
    numbers = rng.sample(range(1, 40), rng.randint(4, 5))
    highest, lowest = list(accumulate(numbers, max)), list(accumulate(numbers, min))
    top, bottom = highest[-1], lowest[-1]
    steps = (
        f"Largest so far: {', '.join(map(str, highest))}",
        f"Smallest so far: {', '.join(map(str, lowest))}",
        taken(top, bottom),
    )
    answer = str(top - bottom)
    return Problem({"items": ", ".join(map(str, numbers))}, answer, written("en", answer, *steps))


def _even_sum(rng: Random) -> Problem:
    evens, odds = rng.sample(range(2, 20, 2), rng.randint(2, 3)), rng.sample(range(1, 20, 2), 2)
    numbers = [*evens, *odds]
    rng.shuffle(numbers)
    steps, total = [], 0
    for number in numbers:
        if number % 2:
            steps.append(f"{number} odd")
        else:
            steps.append(f"{number} even: {added(total, number) if total else number}")
            total += number
    return Problem({"items": ", ".join(map(str, numbers))}, str(total), written("en", str(total), *steps))


def _letter_count(rng: Random) -> Problem:
    word = rng.choice(WORDS)
    letter = rng.choice(word)
    count, steps = 0, []
    for each in word:
        count += each == letter
        steps.append(f"{each} {'yes' if each == letter else 'no'}: {count}")
    sentences = (f"The letters of {word}: {' '.join(word)}", f"Is it {letter}? {', '.join(steps)}")
    return Problem({"word": word, "letter": letter}, str(count), written("en", str(count), *sentences))


FAMILIES = (
    Family(
        name="pick-en", kind="list", language="en", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="Just a look.", draw=_pick("en"),
        wordings=WORDINGS["pick-en"],
    ),
    Family(
        name="pick-zh", kind="list", language="zh", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="一看就知。", draw=_pick("zh"),
        wordings=WORDINGS["pick-zh"],
    ),
    Family(
        name="capitals-en", kind="string", language="en", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="Just uppercase.", draw=_capitals,
        wordings=WORDINGS["capitals-en"],
    ),
    Family(
        name="sorted-en", kind="list", language="en", check="list", difficulty="medium", mode=Mode.ON,
        judgement="Numbers to sort.", draw=_sorted("en"),
        wordings=WORDINGS["sorted-en"],
    ),
    Family(
        name="sorted-zh", kind="list", language="zh", check="list", difficulty="medium", mode=Mode.ON,
        judgement="要排序。", draw=_sorted("zh"),
        wordings=WORDINGS["sorted-zh"],
    ),
    Family(
        name="spread-en", kind="list", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="A spread to find.", draw=_spread,
        wordings=WORDINGS["spread-en"],
    ),
    Family(
        name="even-sum-en", kind="list", language="en", check="number", difficulty="hard", mode=Mode.ON,
        judgement="Even numbers to add.", draw=_even_sum,
        wordings=WORDINGS["even-sum-en"],
    ),
    Family(
        name="letter-count-en", kind="string", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="Letters to count.", draw=_letter_count,
        wordings=WORDINGS["letter-count-en"],
    ),
)  # fmt: skip
