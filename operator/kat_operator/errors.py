"""Everything that the operator refuses or fails with.

OperatorError
├── StartupError                exit code 2, one clear line
│   ├── SettingsError           a setting is missing or bad
│   └── NoCluster               no kubeconfig, or none that can be read
├── ApiServerError              the API server answered with a failure; `status` is its HTTP status
│   ├── NotFound                404
│   ├── Conflict                409  somebody else wrote first
│   └── Expired                 410  a watch's resource version is too old
├── Unreachable                 the API server did not answer
├── PrometheusFailed            Prometheus did not answer, or not with what was asked for
├── InvalidSpec                 a stored AutoThinkService is not valid
└── NotLeader                   a write without the lease, which another operator may hold by now
"""

from __future__ import annotations

from typing import ClassVar


class OperatorError(Exception):
    """Root of everything that this part raises on purpose."""


class StartupError(OperatorError):
    """The operator cannot start. The message is one line that says what to do."""

    exit_code: ClassVar[int] = 2


class SettingsError(StartupError):
    """A setting is missing or bad."""


class NoCluster(StartupError):
    """Neither a kubeconfig nor a pod's own credentials are to be had."""


class ApiServerError(OperatorError):
    """The API server refused or failed; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class NotFound(ApiServerError):
    """No such object, or no such kind."""


class Conflict(ApiServerError):
    """The object changed in between, or exists already."""


class Expired(ApiServerError):
    """A list or a watch went on from a resource version that the API server no longer has."""


class Unreachable(OperatorError):
    """No answer from the API server, or none in time."""


class PrometheusFailed(OperatorError):
    """No answer from Prometheus, or none that can be used; the message says which."""


class InvalidSpec(OperatorError):
    """A stored AutoThinkService is not valid; the message names the fields."""


class NotLeader(OperatorError):
    """This operator does not hold the lease, so it writes nothing."""
