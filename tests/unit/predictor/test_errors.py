"""Errors as clients see them."""

from __future__ import annotations

import pytest

from kat_predictor import errors


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (errors.InvalidRequest, 400, "invalid_request_error", None),
        (errors.ContextLengthExceeded, 400, "invalid_request_error", "context_length_exceeded"),
        (errors.UnsupportedMediaType, 415, "invalid_request_error", None),
        (errors.BodyTooLarge, 413, "invalid_request_error", None),
        (errors.Unauthorized, 401, "invalid_request_error", "invalid_api_key"),
        (errors.PermissionDenied, 403, "permission_error", "permission_denied"),
        (errors.NotFound, 404, "invalid_request_error", None),
        (errors.ModelNotFound, 404, "invalid_request_error", "model_not_found"),
        (errors.MethodNotAllowed, 405, "invalid_request_error", None),
        (errors.RateLimited, 429, "rate_limit_error", "rate_limit_exceeded"),
        (errors.BudgetExhausted, 429, "insufficient_quota", "insufficient_quota"),
        (errors.EngineFailed, 500, "server_error", "engine_failed"),
        (errors.Overloaded, 503, "service_unavailable_error", "overloaded"),
        (errors.Draining, 503, "service_unavailable_error", "shutting_down"),
        (errors.OutboxFull, 503, "service_unavailable_error", "outbox_full"),
        (errors.NotReady, 503, "service_unavailable_error", "not_ready"),
    ],
)
def test_an_error_knows_its_status_type_and_code(
    error: type[errors.ApiError], status: int, kind: str, code: str | None
) -> None:
    assert (error.status, error.type, error.code) == (status, kind, code)


def test_the_body_has_the_shape_of_openai() -> None:
    error = errors.InvalidRequest("max_tokens must be positive.", param="max_tokens")
    assert error.to_openai() == {
        "error": {
            "message": "max_tokens must be positive.",
            "type": "invalid_request_error",
            "param": "max_tokens",
            "code": None,
        }
    }


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (1, "1"), (1.01, "2"), (59.9, "60")])
def test_retry_after_is_never_too_early(seconds: float, header: str) -> None:
    assert errors.RateLimited("slower", retry_after=seconds).headers() == {"Retry-After": header}


def test_without_a_time_there_is_no_retry_after() -> None:
    assert errors.EngineFailed("gone").headers() == {}


def test_a_401_names_the_scheme() -> None:
    assert errors.Unauthorized("no key").headers() == {"WWW-Authenticate": "Bearer"}


def test_a_start_that_fails_ends_with_exit_code_2() -> None:
    assert (errors.SettingsError.exit_code, errors.OutboxUnusable.exit_code) == (2, 2)


def test_the_drawing_names_every_error() -> None:
    """A newcomer reads the tree first; it must be whole."""
    named = {
        name
        for name in vars(errors)
        if isinstance(vars(errors)[name], type) and issubclass(vars(errors)[name], errors.PredictorError)
    }
    assert {name for name in named if name not in (errors.__doc__ or "")} == set()
