"""Asks a model every question some times in each mode, for the vote: part by part, each kept as soon as it is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import orjson

from kat.usage_event import Mode, ModeAsked
from kat_predictor.autothink.instruction_rule import Decided
from kat_training.checks import RunTests
from kat_training.errors import RunError
from kat_training.evaluate import Subject, evaluate
from kat_training.labels import Trial
from kat_training.sample import Sample

PART: Final = 32
"""Questions; what an interruption costs at most."""
_MODES: Final[dict[Decided, ModeAsked]] = {Mode.ON: ModeAsked.ON, Mode.OFF: ModeAsked.OFF}

Ballot = dict[Decided, list[Trial]]
"""The trials of one question, by the mode that was forced."""


async def ballots(
    subject: Subject,
    samples: Sequence[Sample],
    folder: Path,
    *,
    trials: int,
    run_tests: RunTests,
    at_once: int,
    progress: Callable[[], object],
) -> dict[str, Ballot]:
    """The ballots by sample id; parts that are in the folder are not asked for again.

    Args:
        subject: The model; it should draw its tokens, for greedy trials are all the same.
        samples: The same in every run of a folder.
        folder: Of the parts.
        trials: In each mode.
        run_tests: Runs answers that are code.
        at_once: Questions in flight.
        progress: Called after each trial.

    Raises:
        SubjectError: A question got no answer.
        RunError: A part cannot be written, or is damaged.
    """
    found: dict[str, Ballot] = {}
    for number, part in enumerate(_parts(samples)):
        path = folder / f"{number:05}.json"
        if path.exists():
            found |= _read(path)
            for _ in range(len(part) * trials * len(_MODES)):
                progress()
            continue
        asked: dict[str, Ballot] = {sample.id: {mode: [] for mode in _MODES} for sample in part}
        for mode, forced in _MODES.items():
            scored = await evaluate(
                subject, [sample for sample in part for _ in range(trials)], forced,
                run_tests=run_tests, at_once=at_once, progress=progress,
            )  # fmt: skip
            for each in scored:
                asked[each.sample.id][mode].append(Trial(each.right, each.tokens))
        _write(path, asked)
        found |= asked
    return found


def _parts(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(samples), PART):
        yield samples[start : start + PART]


def _write(path: Path, part: dict[str, Ballot]) -> None:
    unfinished = path.with_suffix(".unfinished")
    rows = {
        sample: {mode.value: [[trial.right, trial.tokens] for trial in trials] for mode, trials in ballot.items()}
        for sample, ballot in part.items()
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(orjson.dumps(rows))
        unfinished.rename(path)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error


def _read(path: Path) -> dict[str, Ballot]:
    try:
        rows = orjson.loads(path.read_bytes())
        return {
            sample: {mode: [Trial(bool(right), int(tokens)) for right, tokens in ballot[mode]] for mode in _MODES}
            for sample, ballot in rows.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{path} is damaged; without it the same command asks for its questions again") from error
