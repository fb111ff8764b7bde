"""Samples of a corpus, and a teacher that plays its three parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kat.usage_event import Mode
from kat_training.sample import Message, Sample
from tests.fakes.openai_models import completion

SUM = Sample(
    id="sum",
    split="train",
    template="sum-en/0",
    family="sum-en",
    kind="arithmetic",
    language="en",
    difficulty="easy",
    mode=Mode.OFF,
    mode_from="prior",
    messages=(Message("user", "What is 7 + 5?"),),
    judgement="A single sum.",
    working="7 + 5 = 12.",
    answer="12",
    check="number",
)
CHAIN = replace(
    SUM,
    id="chain",
    template="bracket-en/0",
    family="bracket-en",
    difficulty="medium",
    mode=Mode.ON,
    messages=(Message("user", "Compute (2 + 3) * 4 - 1."),),
    judgement="Several operations.",
    working="2 + 3 = 5. 5 * 4 = 20. 20 - 1 = 19.",
    answer="19",
)


def never_run(code: str, tests: object) -> bool:
    """For checks that have no code to run."""
    raise AssertionError(f"no code was to be run: {code} {tests}")


def teacher(
    *, thought: dict[str, Any] | str | Callable[[int], Any], scores: list[float], draft: str = "12"
) -> Callable[[str, dict[str, Any]], dict[str, Any] | int]:
    """Answers each part by its system message; the critic gives these scores in turn, and then the last again."""
    given = {"thinker": 0, "critic": 0}

    def answering(_: str, body: dict[str, Any]) -> dict[str, Any]:
        system = body["messages"][0]["content"]
        if system.startswith("Answer"):
            return completion(draft, tokens=1)
        if system.startswith("You write"):
            said = thought(given["thinker"]) if callable(thought) else thought
            given["thinker"] += 1
            return completion(said if isinstance(said, str) else json.dumps(said), tokens=20)
        score = scores[min(given["critic"], len(scores) - 1)]
        given["critic"] += 1
        return completion(json.dumps({"score": score, "remark": "Look again."}), tokens=5)

    return answering
