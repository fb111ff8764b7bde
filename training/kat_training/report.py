"""The runs of an evaluation side by side: as a table for people, and as JSON for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

import orjson
from rich.table import Table

from kat.usage_event import ModeAsked
from kat_training.scores import Scored, Scores

_TITLES: Final = {
    ModeAsked.AUTO: "as it judges",
    ModeAsked.ON: "always thinking",
    ModeAsked.OFF: "never thinking",
}
_PLAIN: Final = ("questions", "tokens_per_question")
NO_VALUE: Final = "-"
Runs = Mapping[ModeAsked, Scores]


def as_json(model: str, runs: Runs, against: tuple[str, Runs] | None = None) -> dict[str, Any]:
    """Everything, by the mode that was asked for; the run as the model judges is at the top level too."""
    by_mode = _by_mode(runs)
    other = {"against": {"model": against[0], "runs": _by_mode(against[1])}} if against is not None else {}
    return {"model": model, **by_mode.get(ModeAsked.AUTO, {}), "runs": by_mode, **other}


def as_table(model: str, runs: Runs, against: tuple[str, Runs] | None = None) -> Table:
    """A row for each figure, a column for each run, those of the other model behind."""
    columns = {_TITLES[asked]: asdict(run) for asked, run in runs.items()}
    if against is not None:
        columns |= {f"{against[0]}, {_TITLES[asked]}": asdict(run) for asked, run in against[1].items()}
    table = Table("", *columns, title=model)
    for column in table.columns[1:]:
        column.justify = "right"
    figures = list(columns.values())
    for name in figures[0] if figures else ():
        if name != "answer_accuracy_by_kind":
            table.add_row(name, *(_written(name, each[name]) for each in figures))
    for kind in sorted({kind for each in figures for kind in each["answer_accuracy_by_kind"]}):
        shares = [each["answer_accuracy_by_kind"].get(kind) for each in figures]
        table.add_row(f"  answers, {kind}", *(_written(kind, share) for share in shares))
    return table


def as_lines(asked: ModeAsked, scored: Iterable[Scored]) -> bytes:
    """A line of JSON for each answer, to see what a model is wrong about."""
    return b"".join(
        orjson.dumps(
            {
                "asked": asked,
                "template": each.sample.template,
                "kind": each.sample.kind,
                "question": each.sample.question,
                "mode_due": each.sample.mode,
                "mode": each.mode,
                "expected": each.sample.answer,
                "answer": each.answer,
                "right": each.right,
                "tokens": each.tokens,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for each in scored
    )


def _by_mode(runs: Runs) -> dict[str, Any]:
    return {str(asked): asdict(run) for asked, run in runs.items()}


def _written(name: str, value: float | None) -> str:
    if value is None:
        return NO_VALUE
    return f"{value:.4g}" if name in _PLAIN else f"{value:.1%}"
