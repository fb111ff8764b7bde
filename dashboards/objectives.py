"""What users are promised, and how fast the part that may fail is used up before somebody is called.

Several windows and burn rates: The Site Reliability Workbook (Beyer et al., 2018), chapter 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Objective:
    title: str
    description: str
    """What counts as failed: one sentence."""
    share: float
    """Of requests, over 30 days, that must not fail."""
    ratio: str
    """PromQL of the share that fails, with WINDOW where the window belongs, by namespace and model."""
    alert: str
    summary: str

    @property
    def allowed(self) -> float:
        return round(1 - self.share, 6)


@dataclass(frozen=True, slots=True)
class BurnRate:
    """Both windows must burn so fast: the long one that it matters, the short one that it goes on."""

    factor: float
    long: str
    short: str
    wait: str
    severity: str


BURN_RATES: Final = (
    BurnRate(14.4, "1h", "5m", "2m", "critical"),
    BurnRate(6, "6h", "30m", "15m", "critical"),
    BurnRate(3, "1d", "2h", "1h", "warning"),
    BurnRate(1, "3d", "6h", "3h", "warning"),
)
WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")

_OVERLOADED: Final = "sum by (namespace, model) (rate(kat_requests_overloaded_total[WINDOW]))"
# Status and source of a request are label values that begin with the first such request; overloaded ones begin at 0.
_ERRORS: Final = (
    f'(sum by (namespace, model) (rate(kat_requests_total{{status="error"}}[WINDOW])) or 0 * {_OVERLOADED})'
)
_ENDED: Final = (
    f'(sum by (namespace, model) (rate(kat_requests_total{{status!="rejected"}}[WINDOW])) or 0 * {_OVERLOADED})'
)

FIRST_TOKEN_SECONDS: Final = 2.5
"""A bucket of the histogram."""

OBJECTIVES: Final[Mapping[str, Objective]] = {
    "kat_requests_failed": Objective(
        title="requests that fail",
        description="A request fails that ends in an error, or is refused because its replica is full.",
        share=0.995,
        ratio=f"({_ERRORS} + {_OVERLOADED}) / ({_ENDED} + {_OVERLOADED})",
        alert="KatRequestsFailing",
        summary="Requests of {{ $labels.model }} fail",
    ),
    "kat_first_tokens_late": Objective(
        title="first tokens that come late",
        description=f"A request is late whose first token takes more than {FIRST_TOKEN_SECONDS:g} s.",
        share=0.95,
        ratio=(
            "1 - sum by (namespace, model) "
            f'(rate(kat_time_to_first_token_seconds_bucket{{le="{FIRST_TOKEN_SECONDS}"}}[WINDOW]))'
            " / sum by (namespace, model) (rate(kat_time_to_first_token_seconds_count[WINDOW]))"
        ),
        alert="KatFirstTokensLate",
        summary="First tokens of {{ $labels.model }} come late",
    ),
}
"""By the middle part of the recording rules' names."""
