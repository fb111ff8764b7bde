"""Shadow samples in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, case, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from kat.usage_event import Mode
from kat_metering.shadow import Sample, StratumSummary, Verdict
from kat_metering.store.tables import shadow_sample
from kat_metering.token_ratios import ShadowPairs, Stratum, prompt_bucket

_NO_WORSE = case((shadow_sample.c.verdict.is_(None), -1), (shadow_sample.c.verdict == Verdict.WORSE.value, 0), else_=1)
"""As `ShadowPairs.no_worse` has it."""


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
            func.array_agg(aggregate_order_by(_NO_WORSE, *order)).label("no_worse"),
            func.array_agg(sample.judge.distinct()).label("judges"),
        )
        .where(sample.baseline == baseline, sample.taken_at < before)
        .group_by(*strata)
    )
    return {
        Stratum(row.model, Mode(row.mode), row.task, row.prompt_bucket): ShadowPairs(
            ours=np.array(row.ours, dtype=np.int64),
            baseline=np.array(row.baseline, dtype=np.int64),
            no_worse=np.array(row.no_worse, dtype=np.int8),
            judges=tuple(sorted(judge for judge in row.judges if judge is not None)),
        )
        for row in rows
    }


def insert_samples(connection: Connection, baseline: str, samples: Sequence[Sample]) -> int:
    """Add samples of a baseline that there is; one that came before is left as it is. How many were new."""
    rows = [
        {
            "baseline": baseline,
            "prompt_bucket": prompt_bucket(sample.prompt_tokens),
            **sample.model_dump(exclude={"prompt_tokens"}),
        }
        for sample in samples
    ]
    added = insert(shadow_sample).values(rows).on_conflict_do_nothing().returning(shadow_sample.c.id)
    return len(connection.execute(added).all())


def summarise_samples(connection: Connection, baseline: str) -> list[StratumSummary]:
    """The samples of a baseline, by stratum."""
    sample = shadow_sample.c
    strata = (sample.model, sample.mode, sample.task, sample.prompt_bucket)
    rows = connection.execute(
        select(
            *strata,
            func.count().label("samples"),
            func.count(sample.verdict).label("judged"),
            func.count().filter(_NO_WORSE == 1).label("no_worse"),
            func.sum(sample.tokens_ours).label("tokens_ours"),
            func.sum(sample.tokens_baseline).label("tokens_baseline"),
            func.avg(sample.latency_ours_ms).label("latency_ours_ms"),
            func.avg(sample.latency_baseline_ms).label("latency_baseline_ms"),
            func.min(sample.taken_at).label("first_at"),
            func.max(sample.taken_at).label("last_at"),
        )
        .where(sample.baseline == baseline)
        .group_by(*strata)
        .order_by(*strata)
    )
    return [StratumSummary.model_validate(dict(row)) for row in rows.mappings()]
