"""A whole predictor in one process: real parts around a scripted engine, on KServe's routes, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import orjson
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from kat.directory import ApiKey, Budget, Directory, Limits, Tenant, hash_api_key
from kat.usage_event import UsageEvent
from kat_predictor.admission import Admission, AdmissionLimits
from kat_predictor.api.application import install
from kat_predictor.chat_template import ChatTemplate
from kat_predictor.completion import Completions, Defaults
from kat_predictor.metrics import Metrics
from kat_predictor.outbox import Outbox
from kat_predictor.serving import Serving
from kat_predictor.tenants import Tenants
from tests.fakes.engine import ScriptedEngine

if TYPE_CHECKING:
    from kat_predictor.tracing import Tracing

MODEL = "kat-test"
KEY = "sk-kat-of-acme"
KEY_ID = UUID("01890000-0000-7000-8000-000000000001")
ACME = Tenant(id="acme", name="Acme")
CREATED = 1_700_000_000


def directory_of(tenant: Tenant, *, limits: Limits = Limits(), budget: Budget | None = None) -> Directory:  # noqa: B008 - frozen
    """A tenant and its one key, which may have limits and a budget of its own."""
    key = ApiKey(id=KEY_ID, tenant=tenant.id, project="search", sha256=hash_api_key(KEY), limits=limits, budget=budget)
    return Directory(tenants=[tenant], keys=[key])


@dataclass(frozen=True)
class Predictor:
    """The parts, and how to talk to them."""

    app: FastAPI
    engine: ScriptedEngine
    serving: Serving
    admission: Admission
    outbox: Outbox
    registry: CollectorRegistry
    client: httpx.AsyncClient

    async def chat(self, content: str = "Hello?", **parameters: Any) -> httpx.Response:
        body = {"model": MODEL, "messages": [{"role": "user", "content": content}], **parameters}
        return await self.client.post("/v1/chat/completions", json=body)

    async def chunks(self, content: str = "Hello?", **parameters: Any) -> list[dict[str, Any]]:
        """The chunks of a streamed chat completion, less the end mark."""
        response = await self.chat(content, stream=True, **parameters)
        assert response.status_code == 200, response.text
        return chunks_of(response.text)

    async def events(self) -> list[UsageEvent]:
        """What is in the outbox."""
        batch = await self.outbox.oldest(1_000)
        return [] if batch is None else [UsageEvent.model_validate_json(body) for body in batch.bodies]

    async def event(self) -> UsageEvent:
        (event,) = await self.events()
        return event

    def metric(self, name: str, **labels: str) -> float:
        """A sample's value; 0 where the series does not exist."""
        return self.registry.get_sample_value(name, labels) or 0.0


def chunks_of(stream: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in stream.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [orjson.loads(line) for line in lines[:-1]]


@asynccontextmanager
async def running_predictor(
    folder: Path,
    engine: ScriptedEngine,
    *,
    tenant: Tenant = ACME,
    key_limits: Limits = Limits(),  # noqa: B008 - frozen
    key_budget: Budget | None = None,
    max_concurrent_requests: int = 8,
    max_queued_requests: int = 8,
    max_events: int = 1_000,
    max_body_bytes: int = 100_000,
    defaults: Defaults | None = None,
    loaded: bool = True,
    kserve: bool = False,
    tracing: Tracing | None = None,
) -> AsyncGenerator[Predictor, None]:
    directory = folder / "directory.json"
    directory.write_text(directory_of(tenant, limits=key_limits, budget=key_budget).model_dump_json())
    outbox = await Outbox.open(folder / "outbox.sqlite3", max_events=max_events)
    registry = CollectorRegistry()
    admission = Admission(
        AdmissionLimits(
            max_concurrent_requests=max_concurrent_requests,
            max_queued_requests=max_queued_requests,
            max_queued_tokens=100_000,
        )
    )
    app = FastAPI()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        httpx.AsyncClient(base_url="http://metering.invalid") as metering,
        httpx.AsyncClient(
            transport=transport, base_url="http://predictor", headers={"Authorization": f"Bearer {KEY}"}
        ) as client,
    ):
        tenants = Tenants(client=metering, token=SecretStr("service"), path=directory, refresh_seconds=3_600)
        tenants.load_copy()
        serving = Serving(tenants)
        install(app, serving, model=MODEL, created=CREATED, max_body_bytes=max_body_bytes)
        if tracing is not None:
            # Imported here, because few tests need OpenTelemetry.
            from kat_predictor.api.trace_edge import TraceEdge  # noqa: PLC0415

            app.add_middleware(TraceEdge, tracing=tracing)
        if loaded:
            serving.begin(
                Completions(
                    engine=engine,
                    model=MODEL,
                    style="native" if ChatTemplate(engine).judges else "emulated",
                    source="predictor-0",
                    defaults=defaults or Defaults(max_tokens=200, temperature=0.6, top_p=0.95),
                    admission=admission,
                    outbox=outbox,
                    metrics=Metrics(registry),
                )
            )
        if kserve:
            # Takes seconds to import, and few tests need it; those that do import it themselves.
            from tests.fakes.kserve_routes import mount_kserve  # noqa: PLC0415

            mount_kserve(app, MODEL, serving)
        try:
            yield Predictor(app, engine, serving, admission, outbox, registry, client)
        finally:
            await outbox.close()


class Connection:
    """A client's connection, by hand: it can leave at any moment, which httpx's in-process transport cannot."""

    def __init__(self, app: FastAPI, path: str, body: object, *, headers: dict[str, str] | None = None) -> None:
        self.sent: list[Any] = []
        self._leave = asyncio.Event()
        self._unread = [orjson.dumps(body)]
        given = {"content-type": "application/json", "authorization": f"Bearer {KEY}", **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8080),
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._unread:
            return {"type": "http.request", "body": self._unread.pop(), "more_body": False}
        await self._leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    async def leave(self) -> None:
        """Close the connection, and wait until the server is done with it."""
        self._leave.set()
        await self.task

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()
