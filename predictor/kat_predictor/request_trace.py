"""What a traced request notes while it runs, for the span that is made of it at its end.

The HTTP edge opens a trace and ends it; in between, completions and error answers note what they know. They find it in
a context variable, since KServe's data plane, which stands between edge and model, hands on no more than headers.
Where traces are off the variable holds None, and finding that out is all that a request pays.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from kat.usage_event import Status, UsageEvent
from kat_predictor.job import Job
from kat_predictor.tenants import Caller

_NANOSECONDS: Final = 1e9


@dataclass(slots=True)
class CompletionTrace:
    """One completion, as its books were kept. Moments are seconds on the clock of the books, which never goes back."""

    job: Job
    caller: Caller
    model: str
    """The served name."""
    id: UUID | None = None
    """The id of the books; None until they are opened."""
    opened: float = 0.0
    admitted: float | None = None
    """When it stopped waiting and began to run."""
    mode_known: float | None = None
    status: Status | None = None
    """None while the books are open, and where they never were: the request was no completion that anybody counts."""
    event: UsageEvent | None = None

    def open(self, id: UUID, now: float) -> None:  # noqa: A002 - the name that it has in the event
        """The books were opened."""
        self.id, self.opened = id, now


@dataclass(slots=True)
class RequestTrace:
    """One HTTP request that asks for completions: one of them by OpenAI's API, one or more by KServe's."""

    operation: Literal["chat", "text_completion"]
    id_prefix: str
    """What stands before the id in the response."""
    path: str
    server: tuple[str, int] | None
    """Address and port that the request reached."""
    began: float
    """On the clock of the books."""
    began_ns: int
    """The same moment by the wall clock, in nanoseconds since 1970."""
    completions: list[CompletionTrace] = field(default_factory=list)
    error: str | None = None
    """What kind of error was answered, in words of the API."""
    http_status: int | None = None
    """None where nothing was answered."""
    streams: bool = False
    answered: bool = False
    """The answer was sent to its end."""

    def completion(self, job: Job, caller: Caller, model: str) -> CompletionTrace:
        """One more completion is asked for."""
        completion = CompletionTrace(job, caller, model)
        self.completions.append(completion)
        return completion

    def wall_ns(self, moment: float) -> int:
        """A moment of the books in nanoseconds since 1970."""
        return self.began_ns + round((moment - self.began) * _NANOSECONDS)


TRACED: Final[ContextVar[RequestTrace | None]] = ContextVar("kat_request_trace", default=None)
"""The trace of the request that is being served, if there is one."""


def note_error(kind: str) -> None:
    """The request is answered with an error."""
    trace = TRACED.get()
    if trace is not None:
        trace.error = kind
