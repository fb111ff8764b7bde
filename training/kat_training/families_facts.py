"""Look-ups, known facts, commands and greetings: nothing to think about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training.families_stories import CHINESE_NAMES, NAMES
from kat_training.family import Family, Problem
from kat_training.known_facts import CAPITALS, CHINESE_CAPITALS, CHINESE_COMMANDS, COMMANDS, OPPOSITES
from kat_training.wordings_facts import WORDINGS

_GOODS: Final = (
    "apple", "pear", "plum", "lemon", "melon", "cake", "milk", "tea", "rice", "soup", "bread", "juice", "cheese", "honey",
    "coffee", "salad", "butter", "fish", "pasta", "salt",
)  # fmt: skip
_CHINESE_GOODS: Final = ("苹果", "梨", "茶", "米", "奶", "鱼", "蛋", "糖", "面包", "西瓜", "豆腐", "牛肉", "土豆", "盐")


def _price(rng: Random) -> Problem:
    goods, prices = rng.sample(_GOODS, 3), rng.sample(range(2, 60), 3)
    at = rng.randrange(3)
    values = {
        "listed": ", ".join(f"{good} {price}" for good, price in zip(goods, prices, strict=True)),
        "good": goods[at],
    }
    return Problem(values, str(prices[at]), f"{goods[at]} {prices[at]}.")


def _chinese_price(rng: Random) -> Problem:
    goods, prices = rng.sample(_CHINESE_GOODS, 3), rng.sample(range(2, 60), 3)
    at = rng.randrange(3)
    values = {
        "listed": "，".join(f"{good}{price}元" for good, price in zip(goods, prices, strict=True)),
        "good": goods[at],
    }
    return Problem(values, str(prices[at]), f"{goods[at]}{prices[at]}元。")


def _room(names: tuple[str, ...]) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        people, rooms = rng.sample(names, 2), rng.sample(range(1, 99), 2)
        at = rng.randrange(2)
        values = {"one": people[0], "room1": rooms[0], "two": people[1], "room2": rooms[1], "who": people[at]}
        return Problem(values, str(rooms[at]), f"{people[at]}: {rooms[at]}.")

    return draw


def _known(facts: Mapping[str, str]) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        key = rng.choice(list(facts))
        return Problem({"key": key}, facts[key], f"{key}: {facts[key]}.")

    return draw


def _command(commands: Mapping[str, tuple[str, ...]]) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        wish = rng.choice(list(commands))
        command, *others = commands[wish]
        return Problem({"wish": wish}, command, f"{wish}: {command}.", accepted=tuple(others))

    return draw


def _greeting(rng: Random) -> Problem:
    name = rng.choice(NAMES)
    return Problem({"name": name}, f"Hello {name}! How can I help?", "A greeting.", accepted=("hello", "hi", "help"))


def _chinese_greeting(rng: Random) -> Problem:
    name = rng.choice(CHINESE_NAMES)
    return Problem({"name": name}, f"你好，{name}！", "问候。", accepted=("你好", "您好"))


def _off(name: str, kind: str, draw: Callable[[Random], Problem], judgement: str) -> Family:
    return Family(
        name=name,
        kind=kind,
        language="zh" if name.endswith("zh") else "en",
        check="number" if kind == "look-up" else "keyword" if kind == "greeting" else "text",
        difficulty="easy",
        mode=Mode.OFF,
        judgement=judgement,
        draw=draw,
        wordings=WORDINGS[name],
    )


_LOOK = "A look at what is given, no reasoning needed."
_CHINESE_LOOK = "查看即可，直接回答。"

FAMILIES = (
    _off("price-en", "look-up", _price, _LOOK),
    _off("price-zh", "look-up", _chinese_price, _CHINESE_LOOK),
    _off("room-en", "look-up", _room(NAMES), _LOOK),
    _off("room-zh", "look-up", _room(CHINESE_NAMES), _CHINESE_LOOK),
    _off("capital-en", "fact", _known(CAPITALS), "A known fact, no reasoning needed."),
    _off("capital-zh", "fact", _known(CHINESE_CAPITALS), "常识问题，直接回答。"),
    _off("opposite-en", "fact", _known(OPPOSITES), "A known word, no reasoning needed."),
    _off("command-en", "command", _command(COMMANDS), "A known command, no reasoning needed."),
    _off("command-zh", "command", _command(CHINESE_COMMANDS), "常用命令，直接回答。"),
    _off("greeting-en", "greeting", _greeting, "A greeting, no reasoning needed."),
    _off("greeting-zh", "greeting", _chinese_greeting, "问候，直接回答。"),
)
