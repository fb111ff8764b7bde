"""Usage of everything that an export tells apart, in a month that is over."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from kat.usage_event import Segment
from kat_metering.periods import Window
from tests.fakes.usage_events import an_event

MONTH = Window.month(f"{datetime.now(UTC) - timedelta(days=32):%Y-%m}")
"""A month that is over."""
NAME = f"{MONTH.start:%Y-%m}"
KEYS = [None, "0196f2a0-0000-7000-8000-000000000001", "0196f2a0-0000-7000-8000-000000000002"]


def events(seed: int, count: int) -> list[dict[str, Any]]:
    """Events in a few hours of the month, of several tenants, projects, keys, models, modes, tasks and ends."""
    dice = random.Random(seed)
    return [
        an_event(
            at=MONTH.start + timedelta(hours=dice.randrange(5), milliseconds=dice.randrange(3_600_000)),
            tenant=dice.choice(["acme", "zeta"]),
            project=dice.choice(["search", "default"]),
            api_key_id=dice.choice(KEYS),
            model=dice.choice(["KAT-V1-40B", "smollm2-135m", "mystery"]),
            mode=dice.choice(["on", "off", "undecided"]),
            mode_source=dice.choice(["model", "request"]),
            status=dice.choice(["ok", "ok", "length", "aborted"]),
            labels=dice.choice([{}, {"task": "humaneval"}]),
            tokens={segment.value: dice.choice([0, dice.randrange(10_000)]) for segment in Segment} | {"prompt": 1},
            engine_seconds=dice.random(),
        )
        for _ in range(count)
    ]
