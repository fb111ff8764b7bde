"""Requests to the API server as plain JSON, and who may write.

On the official client's configuration, credentials and transport, without its models: an object comes as the dict that
it is, so that fields which this version of the client does not know survive, and nothing is converted twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from kat_operator.errors import ApiServerError, Conflict, Expired, NoCluster, NotFound, NotLeader, Unreachable

FIELD_MANAGER: Final = "kat-operator"
_READ_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
WRITE_SECONDS: Final = 5
"""A write that takes longer is given up. Less than a lease outlasts its last renewal, see `leader`."""
_WRITE_TIMEOUT: Final = aiohttp.ClientTimeout(total=WRITE_SECONDS)
_CONNECTIONS: Final = 64
_MERGE_PATCH: Final = "application/merge-patch+json"
_APPLY_PATCH: Final = "application/apply-patch+yaml"
_ERRORS: Final[Mapping[int, type[ApiServerError]]] = {
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.GONE: Expired,
}

Json = dict[str, Any]


class Connection:
    """One API server. Raises ApiServerError where it refuses and Unreachable where it does not answer.

    Writes need `may_write` to say yes at the moment of the write: whoever has lost the lease changes nothing more.
    """

    def __init__(self, client: ApiClient, *, may_write: Callable[[], bool] = lambda: True) -> None:
        self._client = client
        self._may_write = may_write
        self.writes = 0
        """Writes sent so far."""

    def fenced(self, may_write: Callable[[], bool]) -> Connection:
        """The same API server, with another say on writes."""
        return Connection(self._client, may_write=may_write)

    @classmethod
    @asynccontextmanager
    async def open(cls, kubeconfig: Path | None = None) -> AsyncGenerator[Connection]:
        """Connect as the kubeconfig says, without one as the pod's ServiceAccount. Raises NoCluster."""
        configuration = Configuration()
        configuration.connection_pool_maxsize = _CONNECTIONS
        # An environment's proxy is not for the API server, and HTTP(S)_PROXY is often set for everything.
        configuration.client_session_kwargs = {"trust_env": False, "read_bufsize": 2**21}
        try:
            if kubeconfig is None:
                load_incluster_config(client_configuration=configuration)
            else:
                await load_kube_config(
                    config_file=str(kubeconfig), client_configuration=configuration, persist_config=False
                )
        except (ConfigException, OSError) as error:
            raise NoCluster(f"no way to the Kubernetes API: {error}; set KAT_OPERATOR_KUBECONFIG") from error
        client = ApiClient(configuration)
        client.user_agent = FIELD_MANAGER
        try:
            yield cls(client)
        finally:
            await client.close()

    async def get(self, path: str, **query: str | int) -> Json:
        return await self._request("GET", path, query)

    async def apply(self, path: str, body: Mapping[str, Any]) -> Json:
        """Server-side apply: the fields of `body` become ours, whoever had them, and those we no longer name go."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._request("PATCH", path, query, body=body, content_type=_APPLY_PATCH)

    async def merge(self, path: str, body: Mapping[str, Any]) -> Json:
        """A JSON merge patch; for subresources, whose field ownership the API server does not track well."""
        return await self._request("PATCH", path, {"fieldManager": FIELD_MANAGER}, body=body, content_type=_MERGE_PATCH)

    async def create(self, path: str, body: Mapping[str, Any]) -> Json:
        return await self._request("POST", path, {"fieldManager": FIELD_MANAGER}, body=body)

    async def replace(self, path: str, body: Mapping[str, Any]) -> Json:
        """Raises Conflict unless `body` has the resource version that the API server has."""
        return await self._request("PUT", path, {"fieldManager": FIELD_MANAGER}, body=body)

    async def delete(self, path: str, *, uid: str) -> None:
        """Delete that very object, and in the background what it owns. Fine where it is gone already."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._request("DELETE", path, {}, body=body)
        except (NotFound, Conflict):
            # Gone, or another object of that name by now: the next look at the cluster tells.
            return

    async def watch(self, path: str, *, idle_seconds: float, **query: str | int) -> AsyncGenerator[Json]:
        """Events of a watch. Ends when the server ends it, or raises Unreachable after `idle_seconds` of silence."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=idle_seconds)
        async with aclosing(self._lines(path, {**query, "watch": "true"}, limits)) as lines:
            async for line in lines:
                event: Json = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise _error(event["object"].get("code", 500), event["object"].get("message", "watch failed"))
                yield event

    async def _lines(
        self, path: str, query: Mapping[str, str | int], limits: aiohttp.ClientTimeout
    ) -> AsyncGenerator[bytes]:
        response = await self._send("GET", path, query, limits=limits)
        try:
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise _refusal(response.status, await response.read())
            async for line in response.content:
                yield line
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(path, error) from error
        finally:
            response.close()

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        limits = _READ_TIMEOUT
        if method != "GET":
            if not self._may_write():
                raise NotLeader(f"{method} {path} without the lease")
            self.writes += 1
            limits = _WRITE_TIMEOUT
        response = await self._send(method, path, query, body=body, content_type=content_type, limits=limits)
        try:
            answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(path, error) from error
        finally:
            response.release()
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(response.status, answer)
        parsed: Json = orjson.loads(answer)
        return parsed

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        *,
        limits: aiohttp.ClientTimeout,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> aiohttp.ClientResponse:
        headers = {"Content-Type": content_type, "Accept": "application/json", **self._client.default_headers}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self._client.configuration.host}{path}"
        if query:
            url += f"?{urlencode(query)}"
        try:
            answer = await self._client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=limits
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(path, error) from error
        response: aiohttp.ClientResponse = answer.response
        return response


def _unreachable(path: str, error: BaseException) -> Unreachable:
    return Unreachable(f"{path}: {type(error).__name__}: {error}")


def _refusal(status: int, answer: bytes) -> ApiServerError:
    try:
        message = str(orjson.loads(answer)["message"])
    except (ValueError, TypeError, KeyError):
        # What stands in front of an API server answers in its own words.
        message = answer[:500].decode(errors="replace")
    return _error(status, message)


def _error(status: int, message: str) -> ApiServerError:
    return _ERRORS.get(status, ApiServerError)(status, message)
