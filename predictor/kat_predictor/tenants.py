"""Who may call: the tenant directory, pulled from metering and kept on disk for when metering is away."""

from __future__ import annotations

import asyncio
import hmac
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import httpx
import structlog
from pydantic import SecretStr, ValidationError

from kat.directory import ApiKey, BudgetState, Directory, Tenant, hash_api_key
from kat_predictor.errors import NotReady, Unauthorized

_log = structlog.get_logger(__name__)
_IMPATIENT_SECONDS = 0.5
"""Between two tries while there is no directory at all, and every request is refused."""
_WORSE = [BudgetState.OK, BudgetState.THINK_OFF, BudgetState.EXHAUSTED]
_HOW_TO_SEND = "Send a key as 'Authorization: Bearer sk-kat-…'."
_HOW_TO_GET = "Check the key, or ask whoever runs this service for a new one."


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    tenant: Tenant
    key: ApiKey

    @property
    def budget_state(self) -> BudgetState | None:
        """The worse of the tenant's budget and the key's; None without either."""
        states = {budget.state for budget in (self.tenant.budget, self.key.budget) if budget is not None}
        return max(states, key=_WORSE.index, default=None)


def utc_now() -> datetime:
    """The wall clock; injected wherever time decides something."""
    return datetime.now(tz=UTC)


class Tenants:
    """The tenant directory, in memory.

    Args:
        client: Its `base_url` is metering's.
        token: The service token that metering expects.
        path: Where the last directory is kept.
        refresh_seconds: Time between two pulls.
        now: The wall clock, for keys that expire.
    """

    def __init__(
        self,
        *,
        client: httpx.AsyncClient,
        token: SecretStr,
        path: Path,
        refresh_seconds: float,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._token = token
        self._path = path
        self._refresh_seconds = refresh_seconds
        self._now = now
        self._callers: dict[str, Caller] | None = None
        self._etag: str | None = None
        self._reachable = True

    @property
    def ready(self) -> bool:
        """A directory is loaded, from metering or from the disk."""
        return self._callers is not None

    def authenticate(self, authorization: str | None) -> Caller:
        """The caller that an Authorization header names.

        Raises:
            Unauthorized: No key, or one that is unknown, revoked or expired.
            NotReady: No directory was ever loaded, so that nobody can be known.
        """
        if self._callers is None:
            raise NotReady("The tenant directory has not been loaded yet; try again.", retry_after=1)
        if not authorization:
            raise Unauthorized(f"No API key was sent. {_HOW_TO_SEND}")
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise Unauthorized(f"The Authorization header holds no bearer key. {_HOW_TO_SEND}")
        digest = hash_api_key(key)
        caller = self._callers.get(digest)
        # The look-up compares hashes of secrets, not secrets; this comparison leaks no timing of its own either.
        if caller is None or not hmac.compare_digest(caller.key.sha256, digest):
            raise Unauthorized(f"The API key is unknown or was revoked. {_HOW_TO_GET}")
        if caller.key.expires_at is not None and caller.key.expires_at <= self._now():
            raise Unauthorized(f"The API key expired at {caller.key.expires_at.isoformat()}. {_HOW_TO_GET}")
        return caller

    def load_copy(self) -> bool:
        """Start from the copy on disk; False where there is none, or a damaged one."""
        try:
            callers = _callers_of(self._path.read_bytes())
        except FileNotFoundError:
            return False
        except (OSError, ValidationError) as error:
            # The copy is a convenience: metering has the truth, and answers in a moment.
            _log.warning("directory_copy_unreadable", path=str(self._path), reason=str(error))
            return False
        self._callers = callers
        _log.info("directory_loaded_from_disk", path=str(self._path), keys=len(callers))
        return True

    async def refresh(self) -> bool:
        """Pull the directory once; True if it was new.

        Raises:
            httpx.HTTPError: Metering is away or refuses.
            pydantic.ValidationError: Its answer is no directory.
            OSError: The copy could not be written; the new directory is in force all the same.
        """
        headers = {"Authorization": f"Bearer {self._token.get_secret_value()}"}
        if self._etag is not None:
            headers["If-None-Match"] = self._etag
        response = await self._client.get("/v1/directory", headers=headers)
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            return False
        if response.status_code != HTTPStatus.OK:
            raise httpx.HTTPStatusError(
                f"metering answered {response.status_code} to GET /v1/directory",
                request=response.request,
                response=response,
            )
        # A directory of ten thousand tenants takes long enough to read to be felt by running streams.
        self._callers = await asyncio.to_thread(_callers_of, response.content)
        await asyncio.to_thread(_write_private, self._path, response.content)
        self._etag = response.headers.get("ETag")
        _log.info("directory_refreshed", keys=len(self._callers))
        return True

    async def run(self) -> None:
        """Refresh for ever; failures are logged, and the last directory serves on."""
        while True:
            try:
                await self.refresh()
            except (httpx.HTTPError, ValidationError, OSError) as error:
                self._report(reachable=False, reason=str(error) or repr(error))
            else:
                self._report(reachable=True)
            await asyncio.sleep(self._refresh_seconds if self.ready else min(self._refresh_seconds, _IMPATIENT_SECONDS))

    def _report(self, *, reachable: bool, reason: str | None = None) -> None:
        # Said on transitions only: an outage of an hour is one event, not a thousand.
        if reachable == self._reachable:
            return
        self._reachable = reachable
        if reachable:
            _log.info("directory_reachable_again")
        else:
            _log.warning("directory_not_refreshed", reason=reason, serving_last_copy=self.ready)


def _callers_of(document: bytes) -> dict[str, Caller]:
    directory = Directory.model_validate_json(document)
    tenants = {tenant.id: tenant for tenant in directory.tenants}
    callers = {key.sha256: Caller(tenants[key.tenant], key) for key in directory.keys if key.tenant in tenants}
    if len(callers) < len(directory.keys):
        _log.warning("directory_keys_without_tenant", keys=len(directory.keys) - len(callers))
    return callers


def _write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
