"""What can go wrong in training. Each is one clear line, and its exit code is the command's.

TrainingError
├── CorpusError      exit code 2  a corpus cannot be made, read or written
├── TeacherError     exit code 2  the teacher refuses us, or its journal is another run's
├── SubjectError     exit code 2  the model to be evaluated cannot be asked
├── ModelError       exit code 2  a model cannot be trained, loaded, merged or written
└── RunError         exit code 2  a run's folder is another run's, or cannot be written
"""

from __future__ import annotations

from typing import ClassVar


class TrainingError(Exception):
    """Root of everything that this part raises on purpose."""

    exit_code: ClassVar[int] = 2


class CorpusError(TrainingError):
    """A corpus cannot be made, read or written."""


class TeacherError(TrainingError):
    """The teacher refuses us, or its journal is another run's."""


class SubjectError(TrainingError):
    """The model to be evaluated cannot be asked."""


class ModelError(TrainingError):
    """A model cannot be trained, loaded, merged or written."""


class RunError(TrainingError):
    """A run's folder is another run's, or cannot be written."""
