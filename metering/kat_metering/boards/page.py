"""The page: one file of HTML that needs nothing from elsewhere, for light and dark screens and for paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from kat_metering.boards.charts import chart, colour, course_in_small
from kat_metering.boards.definitions import Panel, Step
from kat_metering.boards.filling import FilledBoard
from kat_metering.boards.units import cell, written

_WORDS: Final = {"green": "good", "orange": "a warning", "red": "bad"}
"""What the thresholds' colours mean, said for those who do not see them."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page's figures come from, and for whom it was made."""

    made_at: datetime
    prometheus: str | None
    """Its address, without a user's name and password."""
    postgres: bool
    chosen: Mapping[str, Sequence[str]]


def page(boards: Sequence[FilledBoard], origin: Origin) -> str:
    """The HTML."""
    return _environment().get_template("boards.html").render(
        boards=boards,
        origin=origin,
        chosen={name: values for name, values in origin.chosen.items() if values},
        version=version("kat-serving"),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("kat_metering"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minute"] = lambda moment: f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
    environment.globals.update(
        chart=chart, course_in_small=course_in_small, colour=colour, written=written, cell=cell, state=state,
        limits=limits,
    )  # fmt: skip
    return environment


def state(value: float, steps: Sequence[Step]) -> str:
    """The colour of the last step that the value has reached; none where all values are as good."""
    if len(steps) == 1:
        return "calm"
    return [step.colour for step in steps if step.value is None or value >= step.value][-1]


def limits(panel: Panel) -> str:
    """The thresholds in words, empty where there are none."""
    return "; ".join(
        f"from {written(step.value, panel.unit)} {_WORDS.get(step.colour, step.colour)}"
        for step in panel.steps
        if step.value is not None
    )
