"""Dates and units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training import wordings_time
from kat_training.family import Family, Problem
from kat_training.sample import Language
from kat_training.steps import added, written

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


def _neighbour(names: Sequence[str]) -> Callable[[Random], Problem]:
    order = f"In order: {', '.join((*names, names[0]))}"
    kind = "day" if len(names) == _WEEK else "month"

    def draw(rng: Random) -> Problem:
        at = rng.randrange(len(names))
        name, answer = names[at], names[(at + 1) % len(names)]
        steps = (
            f"Asked: the {kind} after {name}",
            order,
            f"After {name} comes {answer}",
            f"Check: the {kind} before {answer} is {name}",
        )
        working = written("en", answer, *steps)
        return Problem({"name": name}, answer, working)

    return draw


def _chinese_neighbour(rng: Random) -> Problem:
    at = rng.randrange(_WEEK)
    name, answer, next_one = (_CHINESE_DAYS[(at + step) % _WEEK] for step in range(3))
    working = written("zh", answer, f"{name}，{answer}，{next_one}", f"{name}的后一天是{answer}")
    return Problem({"name": name}, answer, working)


def _constant(rng: Random) -> Problem:
    many, one, number = rng.choice(_CONSTANTS)
    steps = (
        f"Asked: the number of {many} in {one}",
        f"Known: {one} has {number} {many}",
        f"Check: {number} {many} make {one}",
        f"The number of {many} is {number}",
    )
    return Problem({"many": many, "one": one}, str(number), written("en", str(number), *steps))


def _weekday_later(language: Language) -> Callable[[Random], Problem]:
    names = {"en": _DAYS, "zh": _CHINESE_DAYS}[language]

    def draw(rng: Random) -> Problem:
        today, rest, weeks = rng.randrange(_WEEK), rng.randint(1, 4), rng.randint(1, 3)
        days = weeks * _WEEK + rest
        answer = names[(today + rest) % _WEEK]
        whole_weeks = [f"{left} - {_WEEK} = {left - _WEEK}" for left in range(days, rest, -_WEEK)]
        passed = [f"{step} {names[(today + step) % _WEEK]}" for step in range(1, rest + 1)]
        given, counted = {
            "en": (f"In order: {', '.join(names)}", f"{rest} after {names[today]}: {', '.join(passed)}"),
            "zh": (f"每周{_WEEK}天", f"{names[today]}后{rest}天：{'，'.join(passed)}"),
        }[language]
        working = written(language, answer, given, *whole_weeks, counted)
        return Problem({"today": names[today], "days": days}, answer, working)

    return draw


def _arrival(rng: Random) -> Problem:
    hour, minute = rng.randint(1, 8), rng.randrange(5, _HOUR, 5)
    hours, minutes = rng.randint(1, 3), rng.randrange(5, _HOUR, 5)
    total, later = minute + minutes, hour + hours
    steps = [f"Hours: {hour} + {hours} = {later}", f"Minutes: {added(minute, minutes)}"]
    if total >= _HOUR:
        steps.append(f"An hour more: {total} - {_HOUR} = {total - _HOUR} and {later} + 1 = {later + 1}")
        total, later = total - _HOUR, later + 1
    else:
        steps.append(f"{total} is less than {_HOUR}, so the hour stays {later}")
    answer = f"{later}:{total:02}"
    span = f"{hours} {'hour' if hours == 1 else 'hours'} {minutes} minutes"
    values = {"start": f"{hour}:{minute:02}", "span": span}
    return Problem(values, answer, written("en", answer, *steps))


def _in_minutes(language: Language) -> Callable[[Random], Problem]:
    first, second = {
        "en": ("An hour has 60 minutes: ", "And {} minutes: "), "zh": ("每小时60分：", "加{}分："),
    }[language]  # fmt: skip

    def draw(rng: Random) -> Problem:
        big, small = rng.randint(2, 9), rng.randint(2, 55)
        whole = big * _HOUR
        product = f"{big} * {_HOUR} = {big} * 6 * 10 = {big * 6} * 10 = {whole}"
        steps = (first + product, second.format(small) + added(whole, small))
        answer = str(whole + small)
        return Problem({"big": big, "small": small}, answer, written(language, answer, *steps))

    return draw


def _in_centimetres(rng: Random) -> Problem:
    big, small = rng.randint(2, 9), rng.randint(2, 95)
    whole = big * 100
    steps = (
        f"A metre has 100 centimetres: {big} * 100 = {whole}",
        f"And {small} centimetres: {added(whole, small)}",
        f"Check: {whole + small} - {small} = {whole}",
    )
    return Problem({"big": big, "small": small}, str(whole + small), written("en", str(whole + small), *steps))


FAMILIES = (
    Family(
        name="next-day-en", kind="date", language="en", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="A known order.", draw=_neighbour(_DAYS),
        wordings=wordings_time.NEXT_DAY_EN,
    ),
    Family(
        name="next-month-en", kind="date", language="en", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="A known order.", draw=_neighbour(_MONTHS),
        wordings=wordings_time.NEXT_MONTH_EN,
    ),
    Family(
        name="next-day-zh", kind="date", language="zh", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="顺序已知。", draw=_chinese_neighbour,
        wordings=wordings_time.NEXT_DAY_ZH,
    ),
    Family(
        name="constant-en", kind="unit", language="en", check="number", difficulty="easy", mode=Mode.OFF,
        judgement="A known figure.", draw=_constant,
        wordings=wordings_time.CONSTANT_EN,
    ),
    Family(
        name="weekday-later-en", kind="date", language="en", check="text", difficulty="medium", mode=Mode.ON,
        judgement="Days to count.", draw=_weekday_later("en"),
        wordings=wordings_time.WEEKDAY_LATER_EN,
    ),
    Family(
        name="weekday-later-zh", kind="date", language="zh", check="text", difficulty="medium", mode=Mode.ON,
        judgement="要数天数。", draw=_weekday_later("zh"),
        wordings=wordings_time.WEEKDAY_LATER_ZH,
    ),
    Family(
        name="arrival-en", kind="date", language="en", check="text", difficulty="hard", mode=Mode.ON,
        judgement="Hours and minutes.", draw=_arrival,
        wordings=wordings_time.ARRIVAL_EN,
    ),
    Family(
        name="minutes-en", kind="unit", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="Units to convert.", draw=_in_minutes("en"),
        wordings=wordings_time.MINUTES_EN,
    ),
    Family(
        name="metres-en", kind="unit", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="Units to convert.", draw=_in_centimetres,
        wordings=wordings_time.METRES_EN,
    ),
    Family(
        name="minutes-zh", kind="unit", language="zh", check="number", difficulty="medium", mode=Mode.ON,
        judgement="要换算。", draw=_in_minutes("zh"),
        wordings=wordings_time.MINUTES_ZH,
    ),
)  # fmt: skip
