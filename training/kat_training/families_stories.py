"""Word problems of two to four steps with small numbers."""

from __future__ import annotations

from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training import wordings_stories
from kat_training.family import Family, Problem

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
    working = f"{n} * {p} = {n * p}. {m} * {q} = {m * q}. {n * p} + {m * q} = {n * p + m * q}."
    values = {"n": n, "p": p, "m": m, "q": q, "first": first, "second": second, "name": rng.choice(NAMES)}
    return Problem(values, str(n * p + m * q), working)


def _change(rng: Random) -> Problem:
    n, p, drink = rng.randint(2, 6), rng.randint(2, 9), rng.randint(2, 6)
    cost = n * p + drink
    money = next(note for note in (20, 50, 100) if note > cost)
    working = f"{n} * {p} = {n * p}. {n * p} + {drink} = {cost}. {money} - {cost} = {money - cost}."
    values = {
        "n": n, "p": p, "drink": drink, "money": money, "name": rng.choice(NAMES), "person": rng.choice(CHINESE_NAMES),
    }  # fmt: skip
    return Problem(values, str(money - cost), working)


def _shared(rng: Random) -> Problem:
    children, each, boxes = rng.randint(2, 5), rng.randint(2, 6), rng.randint(2, 5)
    rest = children * each
    full = -(-(rest + 2) // boxes)  # two are missing at least: the words speak of many
    eaten = boxes * full - rest
    working = f"{boxes} * {full} = {boxes * full}. {boxes * full} - {eaten} = {rest}. {rest} / {children} = {each}."
    values = {"boxes": boxes, "full": full, "eaten": eaten, "children": children, "name": rng.choice(NAMES)}
    return Problem(values, str(each), working)


def _ages(rng: Random) -> Problem:
    first, second, third = rng.sample(NAMES, 3)
    age, older, times = rng.randint(2, 15), rng.randint(2, 9), rng.randint(2, 3)
    middle = age + older
    working = f"{second}: {age} + {older} = {middle}. {third}: {middle} * {times} = {middle * times}."
    values = {
        "first": first, "second": second, "third": third, "age": age, "older": older, "times": times,
        **dict(zip("甲乙丙", rng.sample(CHINESE_NAMES, 3), strict=True)),
    }  # fmt: skip
    return Problem(values, str(middle * times), working)


def _chinese_ages(rng: Random) -> Problem:
    problem = _ages(rng)
    age, older, times = (int(str(problem.values[key])) for key in ("age", "older", "times"))
    middle = age + older
    return Problem(
        problem.values, problem.answer, f"{age} + {older} = {middle}. {middle} * {times} = {middle * times}."
    )


FAMILIES = (
    Family(
        name="basket-en", kind="story", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="A price of several parts, reasoning needed.", draw=_basket,
        wordings=wordings_stories.BASKET_EN,
    ),
    Family(
        name="change-en", kind="story", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="A purchase and its change, reasoning needed.", draw=_change,
        wordings=wordings_stories.CHANGE_EN,
    ),
    Family(
        name="change-zh", kind="story", language="zh", check="number", difficulty="medium", mode=Mode.ON,
        judgement="有几步计算，需要推理。", draw=_change,
        wordings=wordings_stories.CHANGE_ZH,
    ),
    Family(
        name="shared-en", kind="story", language="en", check="number", difficulty="hard", mode=Mode.ON,
        judgement="Three steps in a story, reasoning needed.", draw=_shared,
        wordings=wordings_stories.SHARED_EN,
    ),
    Family(
        name="ages-en", kind="story", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="One age follows from another, reasoning needed.", draw=_ages,
        wordings=wordings_stories.AGES_EN,
    ),
    Family(
        name="ages-zh", kind="story", language="zh", check="number", difficulty="medium", mode=Mode.ON,
        judgement="年龄要一步步推，需要推理。", draw=_chinese_ages,
        wordings=wordings_stories.AGES_ZH,
    ),
)  # fmt: skip
