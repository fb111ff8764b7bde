"""The runs of an evaluation side by side: as a table for people, and as JSON for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from rich.table import Table

from kat.usage_event import ModeAsked
from kat_training.scores import Scores

_TITLES: Final = {
    ModeAsked.AUTO: "as it judges",
    ModeAsked.ON: "always thinking",
    ModeAsked.OFF: "never thinking",
}
_PLAIN: Final = ("questions", "tokens_per_question")
NO_VALUE: Final = "-"


def as_json(model: str, runs: Mapping[ModeAsked, Scores]) -> dict[str, Any]:
    """Everything, by the mode that was asked for; the run as the model judges is at the top level too."""
    by_mode = {str(asked): asdict(run) for asked, run in runs.items()}
    return {"model": model, **by_mode.get(ModeAsked.AUTO, {}), "runs": by_mode}


def as_table(model: str, runs: Mapping[ModeAsked, Scores]) -> Table:
    """A row for each figure, a column for each run."""
    table = Table("", *(_TITLES[asked] for asked in runs), title=model)
    for column in table.columns[1:]:
        column.justify = "right"
    columns = [asdict(run) for run in runs.values()]
    for name in columns[0] if columns else ():
        if name != "answer_accuracy_by_kind":
            table.add_row(name, *(_written(name, column[name]) for column in columns))
    kinds = sorted({kind for column in columns for kind in column["answer_accuracy_by_kind"]})
    for kind in kinds:
        shares = [column["answer_accuracy_by_kind"].get(kind) for column in columns]
        table.add_row(f"  answers, {kind}", *(_written(kind, share) for share in shares))
    return table


def _written(name: str, value: float | None) -> str:
    if value is None:
        return NO_VALUE
    return f"{value:.4g}" if name in _PLAIN else f"{value:.1%}"
