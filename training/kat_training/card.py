"""The data card of a corpus: what is in it, how it was made, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from kat_training.sample import Sample

_OF: Mapping[str, Callable[[Sample], str]] = {
    "mode": lambda sample: sample.mode,
    "mode set by": lambda sample: sample.mode_from,
    "language": lambda sample: sample.language,
    "difficulty": lambda sample: sample.difficulty,
    "kind": lambda sample: sample.kind,
}

_CONTENTS: Final = (
    "Each sample is a conversation, and the turn to learn in the grammar of KAT-V1: a judge sentence, the mode, a "
    "short thought where the mode is on, the answer. `completion` continues a prompt that ends with `<judge>` and "
    "a newline. Every answer has a checker; no template is in both splits."
)


def data_card(
    samples: Sequence[Sample], *, origin: str, drops: Mapping[str, int], costs: Mapping[str, int] | None = None
) -> str:
    """The card in Markdown. It holds no time and no place, so that the same corpus has the same card.

    Args:
        samples: All of the corpus.
        origin: How it was made, in one sentence.
        drops: How many candidates were dropped, by reason.
        costs: A teacher's tokens and calls, where there was one.
    """
    sections = [
        "---\nlicense: apache-2.0\nlanguage: [en, zh]\ntask_categories: [text-generation]\n---",
        "# A dual-regime corpus",
        origin,
        _CONTENTS,
        "## Samples",
        *(_counts(name, of, samples) for name, of in _OF.items()),
        "## Dropped",
        _table(("reason", "candidates"), sorted(drops.items())) if drops else "Nothing.",
        "## Held-out templates",
        ", ".join(f"`{name}`" for name in sorted({each.template for each in samples if each.split == "held_out"}))
        or "None.",
    ]
    if costs:
        sections += ["## What the teacher cost", _table(("what", "number"), sorted(costs.items()))]
    return "\n\n".join(sections) + "\n"


def _counts(name: str, of: Callable[[Sample], str], samples: Iterable[Sample]) -> str:
    counts = Counter((str(of(sample)), sample.split) for sample in samples)
    rows = [(value, counts[value, "train"], counts[value, "held_out"]) for value in sorted({key for key, _ in counts})]
    return _table((name, "train", "held out"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(map(str, row)) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)
