"""Look-ups, known facts, commands and greetings: nothing to think about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training.families_stories import CHINESE_NAMES, NAMES
from kat_training.family import Family, Problem

_GOODS: Final = ("apple", "pear", "plum", "lemon", "melon", "cake", "milk", "tea", "rice", "soup")
_CHINESE_GOODS: Final = ("苹果", "梨", "茶", "米", "奶", "鱼", "蛋", "糖")
_CAPITALS: Final = {
    "France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Germany": "Berlin", "Japan": "Tokyo", "China": "Beijing",
    "Egypt": "Cairo", "Greece": "Athens", "Russia": "Moscow", "Austria": "Vienna", "Poland": "Warsaw",
    "Portugal": "Lisbon", "Ireland": "Dublin", "Norway": "Oslo", "Sweden": "Stockholm", "Cuba": "Havana",
    "Peru": "Lima", "Kenya": "Nairobi", "India": "New Delhi", "Canada": "Ottawa",
}  # fmt: skip
_CHINESE_CAPITALS: Final = {
    "中国": "北京",
    "日本": "东京",
    "法国": "巴黎",
    "英国": "伦敦",
    "德国": "柏林",
    "韩国": "首尔",
}
_OPPOSITES: Final = {
    "hot": "cold", "big": "small", "up": "down", "day": "night", "good": "bad", "fast": "slow", "old": "new",
    "left": "right", "open": "closed", "wet": "dry", "long": "short", "hard": "soft", "high": "low", "early": "late",
    "full": "empty", "light": "dark", "rich": "poor", "strong": "weak",
}  # fmt: skip
_COMMANDS: Final = {
    "list the files of a folder in Linux": ("ls",), "show the current folder in Linux": ("pwd",),
    "create a conda env named demo": ("conda create -n demo", "conda create --name demo"),
    "activate the conda env demo": ("conda activate demo",), "list all conda envs": ("conda env list",),
    "show the state of a git repository": ("git status",), "list git branches": ("git branch",),
    "fetch and merge with git": ("git pull",), "show git history": ("git log",),
    "install numpy with pip": ("pip install numpy",), "list docker containers": ("docker ps",),
    "list Kubernetes pods": ("kubectl get pods",), "delete the file a.txt in Linux": ("rm a.txt",),
    "copy a.txt to b.txt in Linux": ("cp a.txt b.txt",), "make a folder named new in Linux": ("mkdir new",),
    "show free disk space in Linux": ("df -h", "df"),
}  # fmt: skip
_CHINESE_COMMANDS: Final = {
    "列出文件": ("ls",), "看当前目录": ("pwd",), "看 git 状态": ("git status",), "看 git 历史": ("git log",),
    "列出容器": ("docker ps",), "列出 pod": ("kubectl get pods",), "激活环境 demo": ("conda activate demo",),
}  # fmt: skip


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


def _off(name: str, kind: str, draw: Callable[[Random], Problem], judgement: str, wordings: tuple[str, ...]) -> Family:
    return Family(
        name=name,
        kind=kind,
        language="zh" if name.endswith("zh") else "en",
        check="number" if kind == "look-up" else "keyword" if kind == "greeting" else "text",
        difficulty="easy",
        mode=Mode.OFF,
        judgement=judgement,
        draw=draw,
        wordings=wordings,
    )


_LOOK = "A look at what is given, no reasoning needed."
_CHINESE_LOOK = "查看即可，直接回答。"

FAMILIES = (
    _off("price-en", "look-up", _price, _LOOK, (
        "Prices: {listed}. What does {good} cost?", "The list says {listed}. Give the price of {good}.",
        "{listed}. How much is {good}?", "Menu: {listed}. What is the price of {good}?")),
    _off("price-zh", "look-up", _chinese_price, _CHINESE_LOOK, (
        "{listed}。{good}多少钱？", "价格：{listed}。问{good}的价格。", "表上写着{listed}，{good}几元？")),
    _off("room-en", "look-up", _room(NAMES), _LOOK, (
        "{one} is in room {room1}, {two} is in room {room2}. Which room is {who} in?",
        "Rooms: {one} {room1}, {two} {room2}. Where is {who}?",
        "{one} has number {room1} and {two} has number {room2}. What number has {who}?")),
    _off("room-zh", "look-up", _room(CHINESE_NAMES), _CHINESE_LOOK, (
        "{one}住{room1}号，{two}住{room2}号，{who}住几号？", "房号：{one} {room1}，{two} {room2}。{who}是几号？",
        "{one}坐{room1}座，{two}坐{room2}座，{who}坐哪？")),
    _off("capital-en", "fact", _known(_CAPITALS), "A known fact, no reasoning needed.", (
        "What is the capital of {key}?", "Name the capital of {key}.", "{key} has which capital?",
        "Which city is the capital of {key}?")),
    _off("capital-zh", "fact", _known(_CHINESE_CAPITALS), "常识问题，直接回答。", (
        "{key}的首都是哪里？", "{key}首都叫什么？", "说出{key}的首都。")),
    _off("opposite-en", "fact", _known(_OPPOSITES), "A known word, no reasoning needed.", (
        "What is the opposite of {key}?", "Name the opposite of {key}.", "Give the antonym of {key}.")),
    _off("command-en", "command", _command(_COMMANDS), "A known command, no reasoning needed.", (
        "Which command do I use to {wish}?", "How do I {wish}?", "Give the command to {wish}.",
        "What do I type to {wish}?")),
    _off("command-zh", "command", _command(_CHINESE_COMMANDS), "常用命令，直接回答。", (
        "怎么{wish}？", "{wish}用什么命令？", "给出{wish}的命令。")),
    _off("greeting-en", "greeting", _greeting, "A greeting, no reasoning needed.", (
        "Hello, I am {name}.", "Hi! My name is {name}.", "Good morning, {name} here.")),
    _off("greeting-zh", "greeting", _chinese_greeting, "问候，直接回答。", ("你好，我是{name}。", "您好！我叫{name}。", "早，我是{name}。")),
)  # fmt: skip
