"""The methods of a saving, and the reasons for which usage is left out of it or compared at equal tokens."""

from __future__ import annotations

from enum import StrEnum


class Method(StrEnum):
    """How the baseline's tokens are taken."""

    L1 = "L1"
    """As many as ours."""
    L2 = "L2"
    """Ours times the token ratio of their stratum."""
    L3 = "L3"
    """As L2, measured alone, and an answer of ours that was judged worse saves nothing."""


class LeftOut(StrEnum):
    """Why usage takes no part in a saving at all."""

    ABORTED = "aborted"
    ERROR = "error"
    UNPRICED = "unpriced"
    BASELINE_UNPRICED = "baseline_unpriced"
    DIFFERENT_COST_BASIS = "different_cost_basis"
    NOT_JUDGED = "not_judged"


class NoRatio(StrEnum):
    """Why nothing is claimed about the baseline's tokens."""

    NO_SHADOW_SAMPLE = "no_shadow_sample"
    TOO_FEW_SAMPLES = "too_few_samples"


class NoClaim(StrEnum):
    """Why usage is compared at our own token count although the method is L2."""

    NO_SHADOW_SAMPLE = NoRatio.NO_SHADOW_SAMPLE.value
    TOO_FEW_SAMPLES = NoRatio.TOO_FEW_SAMPLES.value
    CUT_OFF = "cut_off_by_max_tokens"
