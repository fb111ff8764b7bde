"""GET and POST /v1/shadow/samples."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from kat.usage_event import Name
from kat_metering.api.auth import Admin, Reader
from kat_metering.api.services import WithServices
from kat_metering.shadow import Sample, StratumSummary
from kat_metering.store.engine import reading
from kat_metering.store.shadow_rows import insert_samples, summarise_samples
from kat_metering.token_ratios import MINIMUM_SAMPLES
from kat_metering.valuation import DEFAULT_BASELINE, find_baseline

router = APIRouter(tags=["savings"])

_MOST = 1_000


class NewSamples(BaseModel):
    """Samples of one baseline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    baseline: Name
    samples: Annotated[list[Sample], Field(min_length=1, max_length=_MOST)]


class SamplesAdded(BaseModel):
    """What became of them; a sample that came before changes nothing."""

    model_config = ConfigDict(frozen=True)

    new: int
    duplicate: int


class SampleSummary(BaseModel):
    """The samples of a baseline."""

    model_config = ConfigDict(frozen=True)

    baseline: str
    minimum: int
    """A stratum with fewer samples is not measured."""
    strata: list[StratumSummary]


@router.post("/v1/shadow/samples")
def add_samples(_: Admin, services: WithServices, new: NewSamples) -> SamplesAdded:
    """Store what `kat shadow run` measured: counts, latencies and verdicts of requests that both models answered."""
    with services.engine.begin() as connection:
        find_baseline(connection, new.baseline)
        added = insert_samples(connection, new.baseline, new.samples)
    return SamplesAdded(new=added, duplicate=len(new.samples) - added)


@router.get("/v1/shadow/samples")
def samples(
    _: Reader,
    services: WithServices,
    baseline: Annotated[str, Query(description="a name from /v1/baselines")] = DEFAULT_BASELINE,
) -> SampleSummary:
    """The samples that measured token ratios rest on, by stratum."""
    with reading(services.engine, None) as connection:
        strata = summarise_samples(connection, find_baseline(connection, baseline).name)
    return SampleSummary(baseline=baseline, minimum=MINIMUM_SAMPLES, strata=strata)
