"""What can go wrong in metering.

MeteringError
├── BadRequestError          400  the body cannot be read at all
├── UnauthenticatedError     401  no credentials, or unknown ones
├── ForbiddenError           403  the credentials of another role, or of another tenant
├── NotFoundError            404
├── ConflictError            409
├── TooLargeError            413
├── InvalidError             422  a field has a value that cannot be
├── StoreUnavailableError    503  the database is away; nothing was acknowledged
├── IdentityUnavailableError 503  the identity provider is away, and its keys were never seen
├── SealedSecretError        (no answer)    a webhook's secret was sealed with a key that is gone; its alerts wait
├── RetentionError           (exit code 1)  a month could not be archived; its rows stay
├── EmbeddedPostgresError    (exit code 1)  the server of this machine cannot be started
└── ReportSourceError        (exit code 2)  a report's Prometheus or database does not answer
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `field` is a path such as `limits.concurrency` or `prices[3].per_million`."""

    field: str
    message: str


class MeteringError(Exception):
    """An error of metering. The HTTP edge turns it into a problem (RFC 9457) with this status."""

    status: ClassVar[int] = 500

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class BadRequestError(MeteringError):
    status = 400


class UnauthenticatedError(MeteringError):
    status = 401


class ForbiddenError(MeteringError):
    status = 403


class NotFoundError(MeteringError):
    status = 404


class ConflictError(MeteringError):
    status = 409


class TooLargeError(MeteringError):
    status = 413


class InvalidError(MeteringError):
    status = 422


class StoreUnavailableError(MeteringError):
    status = 503


class IdentityUnavailableError(MeteringError):
    status = 503


class SealedSecretError(MeteringError):
    """A secret cannot be read; what it was to sign is kept."""


class RetentionError(MeteringError):
    """A month was not archived; no row was dropped."""


class EmbeddedPostgresError(MeteringError):
    """The embedded server did not start; the message quotes its log."""


class ReportSourceError(MeteringError):
    """A page of the dashboards cannot be made; the message is one line, and holds no secret."""
