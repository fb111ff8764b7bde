"""What a savings report says, on the wire and on paper."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from kat_metering.baselines import BaselinePrice
from kat_metering.methods import LeftOut, Method, NoClaim
from kat_metering.money import Money


class Dimension(StrEnum):
    """What usage and savings can be grouped by."""

    TENANT = "tenant"
    DAY = "day"
    HOUR = "hour"
    MODE = "mode"
    MODE_SOURCE = "mode_source"
    MODEL = "model"
    PROJECT = "project"
    API_KEY_ID = "api_key_id"
    STATUS = "status"
    TASK = "task"


class Group(BaseModel):
    """The group of a row; only the dimensions that were asked for are set."""

    model_config = ConfigDict(frozen=True)

    tenant: str | None = None
    day: date | None = None
    hour: datetime | None = None
    mode: str | None = None
    mode_source: str | None = None
    model: str | None = None
    project: str | None = None
    api_key_id: UUID | None = None
    status: str | None = None
    task: str | None = None


class TokenBasis(StrEnum):
    """What the token counts of the baseline rest on. A mixture is called by its weakest part."""

    MEASURED = "measured"
    CITED = "cited"
    EQUAL_TOKENS = "equal_tokens"
    """No claim: as many as ours."""

    @classmethod
    def weakest(cls, parts: Iterable[Self]) -> TokenBasis:
        """What a mixture of these is called: a cited part makes it cited; without any claim it is none."""
        found = set(parts)
        return next((basis for basis in (cls.CITED, cls.MEASURED) if basis in found), cls.EQUAL_TOKENS)


class Interval(BaseModel):
    """The 95 % bootstrap interval of a saving. It covers the sampling of token ratios, nothing else."""

    model_config = ConfigDict(frozen=True)

    low: Money
    high: Money
    level: float


class RequestsByBasis(BaseModel):
    """Compared requests, by what the baseline's token counts rest on."""

    model_config = ConfigDict(frozen=True)

    measured: int
    cited: int
    equal_tokens: int


class Saving(BaseModel):
    """Both sides of a comparison. Negative where the baseline would have been cheaper."""

    model_config = ConfigDict(frozen=True)

    requests: int
    """Compared; see the exclusions for the others."""
    actual_cost: Money
    baseline_cost: Money
    savings: Money
    savings_share: float | None
    """Of the baseline's cost; None where that is 0."""
    completion_tokens: int
    baseline_completion_tokens: int
    """Rounded to whole tokens."""
    token_basis: TokenBasis
    requests_by_basis: RequestsByBasis
    samples: int
    """Shadow samples behind the measured ratios."""
    interval: Interval | None
    """None where a ratio is cited: nobody published its spread; or where nothing is claimed."""


class SavingsRow(Saving, Group):
    """The saving of one group."""


class StratumRow(BaseModel):
    """One stratum and the token ratio used for it."""

    model_config = ConfigDict(frozen=True)

    model: str
    mode: str
    task: str
    prompt_bucket: str
    requests: int
    ratio: float
    """Baseline tokens for each of ours."""
    label: TokenBasis
    samples: int
    ratio_low: float | None
    ratio_high: float | None
    source: str | None
    no_worse: float | None
    """L3: share of the sampled answers of ours that were judged no worse."""


class Exclusion(BaseModel):
    """Requests that were left out, or compared at our own token count, and why."""

    model_config = ConfigDict(frozen=True)

    reason: LeftOut | NoClaim
    left_out: bool
    """False: compared, but at our own token count (L2 = L1)."""
    requests: int
    completion_tokens: int
    explanation: str


class BaselineSummary(BaseModel):
    """The baseline that a report measures against."""

    model_config = ConfigDict(frozen=True)

    name: str
    architecture: str
    total_parameters: int
    active_parameters: int
    hypothetical: bool
    description: str
    source: str
    source_date: date
    prices: tuple[BaselinePrice, ...]
    """In force within the window."""


class PriceSource(BaseModel):
    """Where prices of ours come from."""

    model_config = ConfigDict(frozen=True)

    model: str
    basis: str
    source: str
    source_date: date


class SavingsReport(BaseModel):
    """Savings = baseline cost - actual cost, with everything needed to judge them."""

    model_config = ConfigDict(frozen=True)

    method: Method
    method_version: str
    method_description: str
    baseline: BaselineSummary
    price_sources: list[PriceSource]
    currency: str | None
    start: Annotated[datetime, Field(serialization_alias="from")]
    end: Annotated[datetime, Field(serialization_alias="to")]
    """Exclusive."""
    as_of: datetime | None
    """Usage acknowledged before this moment is in the report."""
    totals: Saving
    rows: list[SavingsRow]
    strata: list[StratumRow]
    exclusions: list[Exclusion]
    assumptions: list[str]
