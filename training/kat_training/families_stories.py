"""Word problems of two to four steps with small numbers."""

from __future__ import annotations

from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training.family import Family, Problem

NAMES: Final = ("Anna", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry", "Ivan", "Julia", "Leo", "Maria")
CHINESE_NAMES: Final = ("小明", "小红", "小华", "小李", "小王", "小张")
_THINGS: Final = ("pens", "cups", "books", "lamps", "bags", "maps", "balls", "hats")


def _basket(rng: Random) -> Problem:
    n, p, m, q = rng.randint(2, 9), rng.randint(2, 9), rng.randint(2, 6), rng.randint(2, 9)
    first, second = rng.sample(_THINGS, 2)
    working = f"{n} * {p} = {n * p}. {m} * {q} = {m * q}. {n * p} + {m * q} = {n * p + m * q}."
    values = {"n": n, "p": p, "m": m, "q": q, "first": first, "second": second, "name": rng.choice(NAMES)}
    return Problem(values, str(n * p + m * q), working)


def _change(rng: Random) -> Problem:
    n, p, drink = rng.randint(2, 6), rng.randint(2, 9), rng.randint(1, 6)
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
    full = -(-(rest + 1) // boxes)
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
        "甲": CHINESE_NAMES[0], "乙": CHINESE_NAMES[1], "丙": CHINESE_NAMES[2],
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
        wordings=("{name} buys {n} {first} for {p} dollars each and {m} {second} for {q} dollars each. What is the total?",
                  "A shop sells {first} at {p} dollars and {second} at {q} dollars. What do {n} {first} and {m} {second} cost?",
                  "How many dollars does {name} pay for {n} {first} at {p} dollars each and {m} {second} at {q} dollars each?"),
    ),
    Family(
        name="change-en", kind="story", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="A purchase and its change, reasoning needed.", draw=_change,
        wordings=("{name} has {money} dollars and buys {n} cakes at {p} dollars each and a drink for {drink} dollars. How many dollars are left?",
                  "With {money} dollars, {name} pays for {n} tickets at {p} dollars each and a map for {drink} dollars. How much remains?",
                  "A drink is {drink} dollars and a cake {p} dollars. {name} takes one drink and {n} cakes and pays with {money} dollars. What is the change?"),
    ),
    Family(
        name="change-zh", kind="story", language="zh", check="number", difficulty="medium", mode=Mode.ON,
        judgement="有几步计算，需要推理。", draw=_change,
        wordings=("{person}有{money}元，买{n}本书，每本{p}元，再买{drink}元的水，还剩几元？",
                  "书每本{p}元，水{drink}元。{person}买{n}本书和水，付{money}元，找回几元？",
                  "{person}带{money}元，花{drink}元坐车，又买{n}个球，每个{p}元，剩多少元？"),
    ),
    Family(
        name="shared-en", kind="story", language="en", check="number", difficulty="hard", mode=Mode.ON,
        judgement="Three steps in a story, reasoning needed.", draw=_shared,
        wordings=("There are {boxes} boxes with {full} apples each. {eaten} apples are eaten, and {children} children share the rest. How many apples does each child get?",
                  "{name} packs {boxes} bags of {full} nuts and loses {eaten} nuts. The others go to {children} friends in equal parts. How many nuts has each friend?",
                  "{boxes} rows of {full} chairs stand in a hall. {eaten} are broken; the good ones go to {children} rooms evenly. How many chairs are in each room?"),
    ),
    Family(
        name="ages-en", kind="story", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="One age follows from another, reasoning needed.", draw=_ages,
        wordings=("{first} is {age}. {second} is {older} years older than {first}. {third} is {times} times as old as {second}. How old is {third}?",
                  "{second} is {older} years older than {first}, who is {age}. {third} is {times} times as old as {second}. What is the age of {third}?",
                  "How old is {third}, who is {times} times as old as {second}, if {second} is {older} years older than {first} and {first} is {age}?"),
    ),
    Family(
        name="ages-zh", kind="story", language="zh", check="number", difficulty="medium", mode=Mode.ON,
        judgement="年龄要一步步推，需要推理。", draw=_chinese_ages,
        wordings=("{甲}{age}岁，{乙}比{甲}大{older}岁，{丙}是{乙}的{times}倍，{丙}几岁？",
                  "{乙}比{甲}大{older}岁，{甲}{age}岁，{丙}的年龄是{乙}的{times}倍，求{丙}的年龄。",
                  "已知{甲}{age}岁，{乙}大{older}岁，{丙}为{乙}的{times}倍，{丙}多大？"),
    ),
)  # fmt: skip
