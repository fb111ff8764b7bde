"""Our own errors as the command's one line and exit code."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import click

from kat_training.errors import TrainingError

_P = ParamSpec("_P")


class _Refused(click.ClickException):
    def __init__(self, error: TrainingError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc] # click reads it from the instance


def clear_errors(command: Callable[_P, None]) -> Callable[_P, None]:
    """Turn what this part raises on purpose into a message without a traceback."""

    @functools.wraps(command)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except TrainingError as error:
            raise _Refused(error) from error

    return guarded
