"""Shadow samples in the database."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from kat.usage_event import Mode
from kat_metering.store.tables import shadow_sample
from kat_metering.token_ratios import ShadowPairs, Stratum


def load_samples(connection: Connection, baseline: str, *, before: datetime) -> dict[Stratum, ShadowPairs]:
    """The samples of a baseline taken before a moment, by stratum, in the order in which they were taken."""
    sample = shadow_sample.c
    strata = (sample.model, sample.mode, sample.task, sample.prompt_bucket)
    order = (sample.taken_at, sample.id)
    rows = connection.execute(
        select(
            *strata,
            # Ordered, so that a seeded bootstrap draws the same pairs every time.
            func.array_agg(aggregate_order_by(sample.tokens_ours, *order)).label("ours"),
            func.array_agg(aggregate_order_by(sample.tokens_baseline, *order)).label("baseline"),
        )
        .where(sample.baseline == baseline, sample.taken_at < before)
        .group_by(*strata)
    )
    return {
        Stratum(row.model, Mode(row.mode), row.task, row.prompt_bucket): ShadowPairs(
            ours=np.array(row.ours, dtype=np.int64), baseline=np.array(row.baseline, dtype=np.int64)
        )
        for row in rows
    }
