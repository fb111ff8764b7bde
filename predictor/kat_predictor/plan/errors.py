"""What the planner refuses."""

from __future__ import annotations

from typing import ClassVar

from kat_predictor.errors import PredictorError


class CannotPlan(PredictorError):
    """The question cannot be answered by arithmetic. The message is one line that says why."""

    exit_code: ClassVar[int] = 2
