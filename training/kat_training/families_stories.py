"""Word problems of two to four steps with small numbers."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training import wordings_stories
from kat_training.family import Family, Problem
from kat_training.sample import Language
from kat_training.steps import added, multiplied, taken, written

NAMES: Final = (
    "Anna", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry", "Ivan", "Julia", "Leo", "Maria", "Nora",
    "Oscar", "Paul", "Rosa", "Sam", "Tina", "Victor", "Zoe", "Tom", "Lucy", "Jack", "Alice",
)  # fmt: skip
CHINESE_NAMES: Final = (
    "小明", "小红", "小华", "小李", "小王", "小张", "小刚", "小丽", "小军", "小芳", "小强", "小美",
)  # fmt: skip
_THINGS: Final = (
    "pens", "cups", "books", "lamps", "bags", "maps", "balls", "hats", "plates", "chairs", "shirts", "clocks",
    "candles", "spoons", "toys", "masks", "belts", "rings", "dolls", "kites",
)  # fmt: skip


def _basket(rng: Random) -> Problem:
    n, p, m, q = rng.randint(2, 9), rng.randint(2, 9), rng.randint(2, 6), rng.randint(2, 9)
    first, second = rng.sample(_THINGS, 2)
    one, two = n * p, m * q
    answer = str(one + two)
    steps = (
        f"{n} {first} at {p}: {n} * {p} = {one}",
        f"{m} {second} at {q}: {m} * {q} = {two}",
        f"Together: {added(one, two)}",
    )
    values = {"n": n, "p": p, "m": m, "q": q, "first": first, "second": second, "name": rng.choice(NAMES)}
    return Problem(values, answer, written("en", answer, *steps))


def _change(language: Language) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        n, p, drink = rng.randint(2, 6), rng.randint(2, 9), rng.randint(2, 6)
        cost = n * p + drink
        money = next(note for note in (20, 50, 100) if note > cost)
        each, together, left = {
            "en": ("Cost: ", "Total: ", "Left: "),
            "zh": ("花：", "共：", "剩："),
        }[language]
        steps = (f"{each}{n} * {p} = {n * p}", together + added(n * p, drink), left + taken(money, cost))
        values = {
            "n": n, "p": p, "drink": drink, "money": money, "name": rng.choice(NAMES),
            "person": rng.choice(CHINESE_NAMES),
        }  # fmt: skip
        return Problem(values, str(money - cost), written(language, str(money - cost), *steps))

    return draw


def _shared(rng: Random) -> Problem:
    children, each, boxes = rng.randint(2, 5), rng.randint(2, 6), rng.randint(2, 5)
    rest = children * each
    full = -(-(rest + 2) // boxes)  # two are missing at least: the words speak of many
    eaten = boxes * full - rest
    steps = (
        f"{boxes} times {full}: {boxes} * {full} = {boxes * full}",
        f"Without {eaten}: {boxes * full} - {eaten} = {rest}",
        f"For {children}: {rest} / {children} = {each}",
        f"Check: {children} * {each} = {rest}",
    )
    values = {"boxes": boxes, "full": full, "eaten": eaten, "children": children, "name": rng.choice(NAMES)}
    return Problem(values, str(each), written("en", str(each), *steps))


def _ages(language: Language) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        english, chinese = rng.sample(NAMES, 3), rng.sample(CHINESE_NAMES, 3)
        age, older, times = rng.randint(2, 15), rng.randint(2, 9), rng.randint(2, 3)
        middle = age + older
        answer = str(middle * times)
        given, second, third = {
            "en": (
                f"{english[0]} is {age}",
                f"{english[1]}: ",
                f"{english[2]}: ",
            ),
            "zh": (f"{chinese[0]}{age}岁", f"{chinese[1]}：", f"{chinese[2]}："),
        }[language]
        working = written(language, answer, given, second + added(age, older), third + multiplied(middle, times))
        values = {
            "age": age, "older": older, "times": times,
            **dict(zip(("first", "second", "third"), english, strict=True)), **dict(zip("甲乙丙", chinese, strict=True)),
        }  # fmt: skip
        return Problem(values, answer, working)

    return draw


FAMILIES = (
    Family(
        name="basket-en", kind="story", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="Several prices to add.", draw=_basket,
        wordings=wordings_stories.BASKET_EN,
    ),
    Family(
        name="change-en", kind="story", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="Several steps to change.", draw=_change("en"),
        wordings=wordings_stories.CHANGE_EN,
    ),
    Family(
        name="change-zh", kind="story", language="zh", check="number", difficulty="medium", mode=Mode.ON,
        judgement="要算找零。", draw=_change("zh"),
        wordings=wordings_stories.CHANGE_ZH,
    ),
    Family(
        name="shared-en", kind="story", language="en", check="number", difficulty="hard", mode=Mode.ON,
        judgement="Sharing in steps.", draw=_shared,
        wordings=wordings_stories.SHARED_EN,
    ),
    Family(
        name="ages-en", kind="story", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="A chain of ages.", draw=_ages("en"),
        wordings=wordings_stories.AGES_EN,
    ),
    Family(
        name="ages-zh", kind="story", language="zh", check="number", difficulty="medium", mode=Mode.ON,
        judgement="要推年龄。", draw=_ages("zh"),
        wordings=wordings_stories.AGES_ZH,
    ),
)  # fmt: skip
