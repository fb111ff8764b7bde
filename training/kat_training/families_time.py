"""Dates and units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training import wordings_time
from kat_training.family import Family, Problem

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_CHINESE_DAYS: Final = ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日")
_WEEK: Final = 7
_HOUR: Final = 60
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_CONSTANTS: Final = (
    ("minutes", "an hour", 60), ("seconds", "a minute", 60), ("hours", "a day", 24), ("days", "a week", 7),
    ("months", "a year", 12), ("centimetres", "a metre", 100), ("metres", "a kilometre", 1000),
    ("grams", "a kilogram", 1000), ("millimetres", "a centimetre", 10), ("items", "a dozen", 12),
    ("years", "a century", 100), ("degrees", "a circle", 360), ("years", "a decade", 10),
    ("years", "a millennium", 1000), ("millilitres", "a litre", 1000), ("kilograms", "a tonne", 1000),
    ("milligrams", "a gram", 1000), ("millimetres", "a metre", 1000), ("milliseconds", "a second", 1000),
    ("inches", "a foot", 12), ("feet", "a yard", 3), ("ounces", "a pound", 16), ("cents", "a dollar", 100),
    ("bits", "a byte", 8), ("degrees", "a right angle", 90), ("seasons", "a year", 4), ("days", "a leap year", 366),
    ("quarters", "a year", 4), ("days", "a fortnight", 14), ("items", "a pair", 2), ("minutes", "half an hour", 30),
    ("months", "half a year", 6), ("items", "half a dozen", 6),
)  # fmt: skip


def _neighbour(names: Sequence[str], step: int) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        at = rng.randrange(len(names))
        answer = names[(at + step) % len(names)]
        return Problem({"name": names[at]}, answer, f"{names[at]}, {answer}.")

    return draw


def _constant(rng: Random) -> Problem:
    many, one, number = rng.choice(_CONSTANTS)
    return Problem({"many": many, "one": one}, str(number), f"{one}: {number} {many}.")


def _weekday_later(names: Sequence[str]) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        today, rest, weeks = rng.randrange(_WEEK), rng.randint(1, 4), rng.randint(1, 3)
        days = weeks * _WEEK + rest
        passed = ", ".join(names[(today + step) % _WEEK] for step in range(1, rest + 1))
        working = f"{days} - {weeks * _WEEK} = {rest}. {passed}."
        return Problem({"today": names[today], "days": days}, names[(today + rest) % _WEEK], working)

    return draw


def _arrival(rng: Random) -> Problem:
    hour, minute = rng.randint(1, 8), rng.randrange(5, _HOUR, 5)
    hours, minutes = rng.randint(1, 3), rng.randrange(5, _HOUR, 5)
    total = minute + minutes
    later = hour + hours
    steps = [f"{minute} + {minutes} = {total}.", f"{hour} + {hours} = {later}."]
    if total >= _HOUR:
        steps += [f"{total} - {_HOUR} = {total - _HOUR}.", f"{later} + 1 = {later + 1}."]
        total, later = total - _HOUR, later + 1
    answer = f"{later}:{total:02}"
    span = f"{hours} {'hour' if hours == 1 else 'hours'} {minutes} minutes"
    values = {"start": f"{hour}:{minute:02}", "span": span}
    return Problem(values, answer, " ".join([*steps, f"So {answer}."]))


def _converted(factor: int, most: int) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        big, small = rng.randint(2, 9), rng.randint(2, most)
        whole = big * factor
        working = f"{big} * {factor} = {whole}. {whole} + {small} = {whole + small}."
        return Problem({"big": big, "small": small}, str(whole + small), working)

    return draw


FAMILIES = (
    Family(
        name="next-day-en", kind="date", language="en", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="A known order, no reasoning needed.", draw=_neighbour(_DAYS, 1),
        wordings=wordings_time.NEXT_DAY_EN,
    ),
    Family(
        name="next-month-en", kind="date", language="en", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="A known order, no reasoning needed.", draw=_neighbour(_MONTHS, 1),
        wordings=wordings_time.NEXT_MONTH_EN,
    ),
    Family(
        name="next-day-zh", kind="date", language="zh", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="顺序已知，直接回答。", draw=_neighbour(_CHINESE_DAYS, 1),
        wordings=wordings_time.NEXT_DAY_ZH,
    ),
    Family(
        name="constant-en", kind="unit", language="en", check="number", difficulty="easy", mode=Mode.OFF,
        judgement="A known figure, no reasoning needed.", draw=_constant,
        wordings=wordings_time.CONSTANT_EN,
    ),
    Family(
        name="weekday-later-en", kind="date", language="en", check="text", difficulty="medium", mode=Mode.ON,
        judgement="Counting days over weeks, reasoning needed.", draw=_weekday_later(_DAYS),
        wordings=wordings_time.WEEKDAY_LATER_EN,
    ),
    Family(
        name="weekday-later-zh", kind="date", language="zh", check="text", difficulty="medium", mode=Mode.ON,
        judgement="要数天数，需要推理。", draw=_weekday_later(_CHINESE_DAYS),
        wordings=wordings_time.WEEKDAY_LATER_ZH,
    ),
    Family(
        name="arrival-en", kind="date", language="en", check="text", difficulty="hard", mode=Mode.ON,
        judgement="Adding hours and minutes, reasoning needed.", draw=_arrival,
        wordings=wordings_time.ARRIVAL_EN,
    ),
    Family(
        name="minutes-en", kind="unit", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="A conversion in two steps, reasoning needed.", draw=_converted(60, 55),
        wordings=wordings_time.MINUTES_EN,
    ),
    Family(
        name="metres-en", kind="unit", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="A conversion in two steps, reasoning needed.", draw=_converted(100, 95),
        wordings=wordings_time.METRES_EN,
    ),
    Family(
        name="minutes-zh", kind="unit", language="zh", check="number", difficulty="medium", mode=Mode.ON,
        judgement="两步换算，需要推理。", draw=_converted(60, 55),
        wordings=wordings_time.MINUTES_ZH,
    ),
)  # fmt: skip
