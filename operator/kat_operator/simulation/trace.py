"""Requests over time, from a file or made up: all that a simulation takes from the world."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kat.usage_event import Mode

THINK_ON_SHARE: Final = 0.348
"""Of requests whose mode no file tells: the share of think-on data in the model's training mix (arXiv 2507.08297)."""
JUDGE_TOKENS: Final = 24
"""Every answer starts with the model's own short judgement whether to think. Assumed: one or two sentences."""
THINK_BUDGET: Final = 1_024
"""Thinking is closed at this many tokens, as `modePolicy.thinkBudgetTokens` would do."""
THINK_MEDIAN: Final = 300.0
"""The introduction article's example of a think-on answer has about 300 tokens."""
_THINK_SIGMA: Final = 0.6
_THINKING_OF_RECORDED: Final = 0.8
"""Of a file's think-on request with its mode: the share of GeneratedTokens that is thinking. Assumed."""
_SPREAD_SECONDS: Final = 60.0
"""Copies of a request come within this time around it."""
_FEWEST_COLUMNS: Final = 3

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class BadTrace(ValueError):
    """The file is no trace. The message says where and why."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in the order in which they come. Arrays have one entry a request."""

    name: str
    at: Floats
    """Seconds from the trace's start, ascending."""
    prompt_tokens: Integers
    hidden_tokens: Integers
    """Judge and thinking: what is generated before the answer."""
    answer_tokens: Integers
    """At least 1."""
    thinks: Flags
    seconds: float
    """The trace's length."""
    warmup_seconds: float
    """How much of its beginning only brings the fleet to its size, and is not scored."""

    def __len__(self) -> int:
        return len(self.at)

    def with_warmup(self, seconds: float) -> Trace:
        """The same scored part after so much of the warm-up, or all of it where that is less."""
        cut = max(0.0, self.warmup_seconds - seconds)
        kept = self.at >= cut
        return Trace(
            name=self.name,
            at=self.at[kept] - cut,
            prompt_tokens=self.prompt_tokens[kept],
            hidden_tokens=self.hidden_tokens[kept],
            answer_tokens=self.answer_tokens[kept],
            thinks=self.thinks[kept],
            seconds=self.seconds - cut,
            warmup_seconds=self.warmup_seconds - cut,
        )


def thinking_tokens(count: int, rng: np.random.Generator, *, median: float = THINK_MEDIAN) -> Integers:
    """Thinking tokens of so many requests: log-normal, closed at the budget."""
    drawn = rng.lognormal(np.log(median), _THINK_SIGMA, count)
    return np.minimum(drawn, THINK_BUDGET).astype(np.int64)


def read_trace(
    path: Path,
    *,
    intensity: float = 1.0,
    passes: int = 2,
    stretch: float = 1.0,
    think_on_share: float = THINK_ON_SHARE,
    seed: int = 0,
) -> Trace:
    """A trace from a CSV file with the columns `TIMESTAMP,ContextTokens,GeneratedTokens` and, optionally, `Mode`.

    With a mode, GeneratedTokens counts the thinking too. Without one the file was recorded with a model that does not
    think: modes are drawn with `think_on_share`, and a request that thinks does so before its GeneratedTokens.

    Args:
        path: The file.
        intensity: Requests for each recorded one. Copies keep the tokens and come within a minute around the original,
            so that minutes keep their shape.
        passes: How often the recording is played, one after the other; all but the last are warm-up.
        stretch: How much longer the recording is played than it took.
        think_on_share: 0 to 1.
        seed: Of all that is drawn.

    Raises:
        BadTrace: The file has other columns or values.
    """
    at, prompt, generated, modes = _read(path)
    rng = np.random.default_rng(seed)
    # Long enough that the last request and the next pass's first are as far apart as requests are on average.
    length = float(at[-1]) * (1 + 1 / max(1, len(at) - 1)) or 1.0
    parts = []
    for number in range(passes):
        rows = _copies(len(at), intensity, rng)
        times = at[rows]
        if intensity != 1:
            times = (times + rng.uniform(-_SPREAD_SECONDS / 2, _SPREAD_SECONDS / 2, len(rows))) % length
        parts.append((times * stretch + number * length * stretch, rows))
    times = np.concatenate([part[0] for part in parts])
    rows = np.concatenate([part[1] for part in parts])
    order = np.argsort(times, kind="stable")
    times, rows = times[order], rows[order]
    if modes is None:
        thinks = rng.random(len(rows)) < think_on_share
        thinking = np.where(thinks, thinking_tokens(len(rows), rng), 0)
        answer = generated[rows]
        hidden = thinking + JUDGE_TOKENS
    else:
        thinks = modes[rows]
        hidden = np.where(thinks, (generated[rows] * _THINKING_OF_RECORDED).astype(np.int64), 0)
        answer = generated[rows] - hidden
    return Trace(
        name=f"{path.stem} x{intensity:g}" + (f", {stretch:g} times slower" if stretch != 1 else ""),
        at=times,
        prompt_tokens=prompt[rows],
        hidden_tokens=hidden,
        answer_tokens=np.maximum(answer, 1),
        thinks=thinks,
        seconds=passes * length * stretch,
        warmup_seconds=(passes - 1) * length * stretch,
    )


def _copies(count: int, intensity: float, rng: np.random.Generator) -> Integers:
    whole = int(intensity)
    extra = np.flatnonzero(rng.random(count) < intensity - whole)
    rows: Integers = np.concatenate([np.tile(np.arange(count), whole), extra]).astype(np.int64)
    return rows


def _read(path: Path) -> tuple[Floats, Integers, Integers, Flags | None]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        head = [name.strip().lower() for name in next(rows, [])]
        if head[:_FEWEST_COLUMNS] != ["timestamp", "contexttokens", "generatedtokens"]:
            raise BadTrace(f"{path}: expected the columns TIMESTAMP,ContextTokens,GeneratedTokens[,Mode]")
        has_mode = head[_FEWEST_COLUMNS:] == ["mode"]
        times, prompts, generated, modes = [], [], [], []
        for number, row in enumerate(rows, start=2):
            try:
                times.append(_seconds(row[0]))
                prompts.append(int(row[1]))
                generated.append(int(row[2]))
                if has_mode:
                    modes.append(Mode(row[3].strip()) is Mode.ON)
            except (IndexError, ValueError) as fault:
                raise BadTrace(f"{path}, line {number}: {fault}") from fault
    if not times:
        raise BadTrace(f"{path}: no requests")
    at = np.array(times)
    order = np.argsort(at, kind="stable")
    return (
        at[order] - at.min(),
        np.array(prompts, dtype=np.int64)[order],
        np.maximum(np.array(generated, dtype=np.int64), 1)[order],
        np.array(modes)[order] if has_mode else None,
    )


def _seconds(text: str) -> float:
    """Seconds from a number, or from a date with up to nanoseconds."""
    try:
        return float(text)
    except ValueError:
        whole, _, fraction = text.strip().partition(".")
        moment = datetime.fromisoformat(whole)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() + float(f"0.{fraction or 0}")
