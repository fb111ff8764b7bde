"""Everything that the predictor refuses or fails with.

PredictorError
├── StartupError                    exit code 2, one clear line
│   ├── SettingsError               a setting is missing or bad
│   └── OutboxUnusable              the outbox is damaged, in use or not writable
├── EventNotStored                  a usage event could not be written before the outbox was closed
├── OutboxDamaged                   what is in the outbox is not what was written
└── ApiError                        an answer in the shape of OpenAI's API
    ├── InvalidRequest              400  what was sent is wrong; `param` names the field
    │   ├── ContextLengthExceeded   400  prompt and max_tokens do not fit the model
    │   ├── UnsupportedMediaType    415
    │   └── BodyTooLarge            413
    ├── Unauthorized                401  no key, or one that is unknown, revoked or expired
    ├── PermissionDenied            403
    ├── NotFound                    404  no such route
    │   └── ModelNotFound           404
    ├── MethodNotAllowed            405
    ├── RateLimited                 429  the tenant's own limit
    │   └── BudgetExhausted         429  the tenant's monthly budget is spent
    ├── EngineFailed                500  the engine failed while it worked
    └── Unavailable                 503
        ├── Overloaded              503  the replica is full
        ├── Draining                503  the replica is shutting down
        ├── OutboxFull              503  usage could not be recorded, so nothing is started
        └── NotReady                503  the model or the tenant directory is not there yet
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import ClassVar


class PredictorError(Exception):
    """Root of everything that this part raises on purpose."""


class StartupError(PredictorError):
    """The predictor cannot start. The message is one line that says what to do."""

    exit_code: ClassVar[int] = 2


class SettingsError(StartupError):
    """A setting is missing or bad."""


class OutboxUnusable(StartupError):
    """The outbox cannot be used."""


class EventNotStored(PredictorError):
    """A usage event could not be written before the outbox was closed; the log holds it."""


class OutboxDamaged(PredictorError):
    """What is in the outbox is not what was written."""


class ApiError(PredictorError):
    """A refusal or failure that a client sees.

    Args:
        message: What went wrong and what to do, for a developer on the other side.
        param: The request field at fault.
        retry_after: Seconds after which another try makes sense.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after

    def to_openai(self) -> dict[str, dict[str, str | None]]:
        """The body of the answer, as OpenAI's API shapes it."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """The headers that belong to the answer."""
        if self.retry_after is None:
            return {}
        # RFC 9110, 10.2.3 knows whole seconds only; rounded up, so that the second try is not too early.
        return {"Retry-After": str(max(1, math.ceil(self.retry_after)))}


class InvalidRequest(ApiError):
    """What was sent is wrong."""

    status = HTTPStatus.BAD_REQUEST
    type = "invalid_request_error"


class ContextLengthExceeded(InvalidRequest):
    """Prompt and completion do not fit the model's context."""

    code = "context_length_exceeded"


class UnsupportedMediaType(InvalidRequest):
    """The body is not JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class BodyTooLarge(InvalidRequest):
    """The body has more bytes than the server takes."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Unauthorized(ApiError):
    """No key, or one that is unknown, revoked or expired."""

    status = HTTPStatus.UNAUTHORIZED
    type = "invalid_request_error"
    code = "invalid_api_key"

    def headers(self) -> dict[str, str]:
        """Name the scheme, as RFC 9110, 15.5.2 demands of a 401."""
        return {**super().headers(), "WWW-Authenticate": "Bearer"}


class PermissionDenied(ApiError):
    """A known caller asks for what is not theirs."""

    status = HTTPStatus.FORBIDDEN
    type = "permission_error"
    code = "permission_denied"


class NotFound(ApiError):
    """No such route."""

    status = HTTPStatus.NOT_FOUND
    type = "invalid_request_error"


class ModelNotFound(NotFound):
    """The model asked for is not served here."""

    code = "model_not_found"


class MethodNotAllowed(ApiError):
    """The route exists and does not take this method."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    type = "invalid_request_error"


class RateLimited(ApiError):
    """The tenant is over a limit of its own."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class BudgetExhausted(RateLimited):
    """The tenant's monthly budget is spent."""

    type = "insufficient_quota"
    code = "insufficient_quota"


class EngineFailed(ApiError):
    """The engine failed while it worked on the request."""

    code = "engine_failed"


class Unavailable(ApiError):
    """The replica cannot take the request now; another one, or a later try, may."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "service_unavailable_error"


class Overloaded(Unavailable):
    """The replica and its queue are full."""

    code = "overloaded"


class Draining(Unavailable):
    """The replica is shutting down."""

    code = "shutting_down"


class OutboxFull(Unavailable):
    """Usage could not be recorded, so nothing is started."""

    code = "outbox_full"


class NotReady(Unavailable):
    """The model or the tenant directory is not there yet."""

    code = "not_ready"
