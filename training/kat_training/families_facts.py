"""Look-ups, known facts, commands and greetings: nothing to think about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training.families_stories import CHINESE_NAMES, NAMES
from kat_training.family import Family, Problem
from kat_training.known_facts import CAPITALS, CHINESE_CAPITALS, CHINESE_COMMANDS, COMMANDS, OPPOSITES
from kat_training.sample import Language
from kat_training.steps import written
from kat_training.wordings_facts import WORDINGS

_GOODS: Final = (
    "apple", "pear", "plum", "lemon", "melon", "cake", "milk", "tea", "rice", "soup", "bread", "juice", "cheese", "honey",
    "coffee", "salad", "butter", "fish", "pasta", "salt",
)  # fmt: skip
_CHINESE_GOODS: Final = ("苹果", "梨", "茶", "米", "奶", "鱼", "蛋", "糖", "面包", "西瓜", "豆腐", "牛肉", "土豆", "盐")


def _price(rng: Random) -> Problem:
    goods, prices = rng.sample(_GOODS, 3), rng.sample(range(2, 60), 3)
    at = rng.randrange(3)
    good, price = goods[at], prices[at]
    listed = ", ".join(f"{each} {cost}" for each, cost in zip(goods, prices, strict=True))
    found = ", ".join(f"{each} {'yes' if each == good else 'no'}" for each in goods)
    steps = (f"Given: {listed}", f"Asked: {good}", f"Is it {good}? {found}", f"It is number {at + 1}: {good} {price}")
    return Problem({"listed": listed, "good": good}, str(price), written("en", str(price), *steps))


def _chinese_price(rng: Random) -> Problem:
    goods, prices = rng.sample(_CHINESE_GOODS, 3), rng.sample(range(2, 60), 3)
    at = rng.randrange(3)
    good, price = goods[at], prices[at]
    listed = "，".join(f"{each}{cost}元" for each, cost in zip(goods, prices, strict=True))
    working = written("zh", str(price), f"已知{listed}", f"要{good}，第{at + 1}个：{good}{price}元")
    return Problem({"listed": listed, "good": good}, str(price), working)


def _room(language: Language) -> Callable[[Random], Problem]:
    names = {"en": NAMES, "zh": CHINESE_NAMES}[language]
    form = {
        "en": (
            "Given: {one} {room1}, {two} {room2}. Asked: {who}. Is it {one}? {first}. Is it {two}? {second}. "
            "{who} is number {at} of the two. {who}: {room}"
        ),
        "zh": "已知{one}{room1}，{two}{room2}。问{who}，第{at}个：{who}{room}",
    }[language]

    def draw(rng: Random) -> Problem:
        people, rooms = rng.sample(names, 2), rng.sample(range(1, 99), 2)
        at = rng.randrange(2)
        values = {"one": people[0], "room1": rooms[0], "two": people[1], "room2": rooms[1], "who": people[at]}
        answer = str(rooms[at])
        said = {"at": at + 1, "room": answer, "first": "No" if at else "Yes", "second": "Yes" if at else "No"}
        return Problem(values, answer, written(language, answer, form.format(**said, **values)))

    return draw


def _known(facts: Mapping[str, str], form: str, language: Language) -> Callable[[Random], Problem]:
    """The form says what is asked, what is known, and the same the other way round."""

    def draw(rng: Random) -> Problem:
        key = rng.choice(list(facts))
        fact = facts[key]
        return Problem({"key": key}, fact, written(language, fact, form.format(key=key, fact=fact)))

    return draw


def _command(commands: Mapping[str, tuple[str, ...]], form: str, language: Language) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        wish = rng.choice(list(commands))
        command, *others = commands[wish]
        reason = form.format(wish=wish, program=command.split()[0], command=command)
        return Problem({"wish": wish}, command, written(language, command, reason), accepted=tuple(others))

    return draw


def _greeting(rng: Random) -> Problem:
    name = rng.choice(NAMES)
    answer = f"Hello {name}! How can I help?"
    steps = (
        f"The name is {name}",
        f"{name} greets me and asks nothing yet",
        "A greeting is answered by a greeting",
        "There is nothing to work out",
        f"I greet {name} and offer help",
    )
    return Problem({"name": name}, answer, written("en", answer, *steps), accepted=("hello", "hi", "help"))


def _chinese_greeting(rng: Random) -> Problem:
    name = rng.choice(CHINESE_NAMES)
    answer = f"你好，{name}！"
    working = written("zh", answer, f"{name}打招呼，没有问题，也向{name}问好")
    return Problem({"name": name}, answer, working, accepted=("你好", "您好"))


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


_CHINESE_LOOK: Final = "一查就知。"
_CAPITAL: Final = (
    "Asked: the capital of {key}. Known: {fact} is the capital of {key}. "
    "{key} is a country, {fact} is its capital city. Check: the country with the capital {fact} is {key}"
)
_CHINESE_CAPITAL: Final = "问{key}首都。{key}首都是{fact}，{fact}在{key}"
_OPPOSITE: Final = (
    "Asked: the opposite of {key}. Known: {key} and {fact} are opposites. "
    "The pair is {key} and {fact}. Check: what is {fact} is not {key}, and what is {key} is not {fact}"
)
_TYPE: Final = (
    "Asked: a command to {wish}. The program for it is {program}. Typed in full: {command}. To {wish}, type {command}"
)
_CHINESE_TYPE: Final = "要{wish}，用什么命令？程序是 {program}，命令是 {command}"

FAMILIES = (
    _off("price-en", "look-up", _price, "A listed price."),
    _off("price-zh", "look-up", _chinese_price, _CHINESE_LOOK),
    _off("room-en", "look-up", _room("en"), "A listed number."),
    _off("room-zh", "look-up", _room("zh"), _CHINESE_LOOK),
    _off("capital-en", "fact", _known(CAPITALS, _CAPITAL, "en"), "A known fact."),
    _off("capital-zh", "fact", _known(CHINESE_CAPITALS, _CHINESE_CAPITAL, "zh"), "常识。"),
    _off("opposite-en", "fact", _known(OPPOSITES, _OPPOSITE, "en"), "A known word."),
    _off("command-en", "command", _command(COMMANDS, _TYPE, "en"), "A known command."),
    _off("command-zh", "command", _command(CHINESE_COMMANDS, _CHINESE_TYPE, "zh"), "常用命令。"),
    _off("greeting-en", "greeting", _greeting, "Just a greeting."),
    _off("greeting-zh", "greeting", _chinese_greeting, "打招呼。"),
)
