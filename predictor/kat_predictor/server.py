"""The composition root: settings in, a serving predictor out."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import httpx
import structlog
import uvloop
from prometheus_client import REGISTRY

from kat_predictor.admission import Admission, AdmissionLimits
from kat_predictor.api.application import install
from kat_predictor.autothink.driver import Style
from kat_predictor.chat_template import ChatTemplate
from kat_predictor.completion import Completions, Defaults
from kat_predictor.delivery import Delivery
from kat_predictor.engines.base import Engine
from kat_predictor.errors import StartupError
from kat_predictor.kserve_sdk import ModelServer, app
from kat_predictor.metrics import Metrics
from kat_predictor.model import KatModel
from kat_predictor.outbox import Outbox
from kat_predictor.serving import Serving
from kat_predictor.settings import Settings
from kat_predictor.startup import load_in_thread, warm_up
from kat_predictor.tenants import Tenants

if TYPE_CHECKING:
    # OpenTelemetry is imported where traces are on, and only there.
    from kat_predictor.tracing import Tracing

_log = structlog.get_logger(__name__)
_METERING_TIMEOUT_SECONDS: Final = 30
_LAST_REQUESTS_SECONDS: Final = 10.0
"""For requests cancelled at the end of the grace period to write their usage events."""
_FLUSH_SECONDS: Final = 5.0
"""For the last spans to reach their collector."""

LoadEngine = Callable[[Settings], Engine]


def load_engine(settings: Settings) -> Engine:
    """The engine that the settings name."""
    # Torch takes seconds to import, while the port should open at once.
    from kat_predictor.engines.default_model import DefaultModelError  # noqa: PLC0415
    from kat_predictor.engines.load import load_engine as load  # noqa: PLC0415

    try:
        return load(
            settings.model,
            models_dir=settings.model_cache_folder,
            engine=settings.engine,
            engine_arguments=settings.engine_args,
            trust_remote_code=settings.trust_remote_code,
            max_model_len=settings.max_model_len,
            max_batch=settings.max_concurrent_requests,
            stall_seconds=settings.engine_stall_seconds,
        )
    except DefaultModelError as error:
        raise StartupError(str(error)) from error


def serve(settings: Settings, load: LoadEngine = load_engine) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs and drain.

    The port opens at once; readiness is false until the model has been loaded and has answered.

    Raises:
        StartupError: The predictor cannot start.
    """
    _check_port(settings.host, settings.port)
    client = httpx.AsyncClient(base_url=str(settings.metering_url), timeout=_METERING_TIMEOUT_SECONDS)
    tenants = Tenants(
        client=client,
        token=settings.service_token,
        path=settings.directory_file,
        refresh_seconds=settings.directory_refresh_seconds,
    )
    serving = Serving(tenants)
    install(
        app,
        serving,
        model=settings.served_name,
        created=int(time.time()),
        max_body_bytes=settings.max_body_bytes,
    )
    tracing = _tracing(settings)
    server = _Server(settings, load, client, serving, tracing)
    server.start([KatModel(settings.served_name, serving)])
    server.raise_failure()


class _Server(ModelServer):  # type: ignore[misc] # KServe has no types
    """KServe's server, with our parts living exactly as long as it serves."""

    def __init__(
        self,
        settings: Settings,
        load: LoadEngine,
        client: httpx.AsyncClient,
        serving: Serving,
        tracing: Tracing | None,
    ) -> None:
        super().__init__(
            http_port=settings.port,
            workers=1,  # the model is loaded once, and one process keeps the books
            enable_grpc=False,
            enable_latency_logging=False,
            grace_period=settings.grace_seconds,
        )
        self._settings = settings
        self._load = load
        self._client = client
        self._serving = serving
        self._tracing = tracing
        self._failure: BaseException | None = None

    def setup_event_loop(self) -> None:
        """Have KServe run on uvloop. Its own settings go to a loop other than the one that it then runs on."""
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

    async def _serve(self) -> None:
        _trim(self._rest_server, self._settings.host)
        try:
            async with self._running():
                await super()._serve()
        finally:
            for server in self.servers:
                server.close()  # of no effect on one that ran; spares a warning about one that never did

    def raise_failure(self) -> None:
        """Raise what made the server stop by itself, if anything did."""
        if self._failure is not None:
            raise self._failure

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None, None]:
        settings, tenants = self._settings, self._serving.tenants
        metrics = Metrics(REGISTRY)
        admission = Admission(
            AdmissionLimits(
                max_concurrent_requests=settings.max_concurrent_requests,
                max_queued_requests=settings.max_queued_requests,
                max_queued_tokens=settings.max_queued_tokens,
            )
        )
        async with AsyncExitStack() as stack:
            if self._tracing is not None:
                stack.push_async_callback(self._tracing.close, _FLUSH_SECONDS)
            await stack.enter_async_context(self._client)
            outbox = await Outbox.open(
                settings.outbox_folder, max_events=settings.outbox_max_events, sync=settings.outbox_sync
            )
            stack.push_async_callback(outbox.close)
            metrics.watch_outbox(lambda: outbox.events, outbox.oldest_age_seconds)
            metrics.watch_queue(settings.served_name, lambda: admission.queued)
            delivery = Delivery(outbox=outbox, client=self._client, token=settings.service_token, metrics=metrics)
            tenants.load_copy()
            await stack.enter_async_context(_in_background(self._watched(delivery.run())))
            await stack.enter_async_context(_in_background(self._watched(tenants.run())))
            await stack.enter_async_context(
                _in_background(self._watched(self._begin(stack, admission, outbox, metrics)))
            )
            yield
            # No connection is left; requests have ended, or were cancelled and are writing their usage events.
            self._serving.drain()
            admission.drain()
            with suppress(TimeoutError):
                await asyncio.wait_for(admission.idle(), _LAST_REQUESTS_SECONDS)
            left = await delivery.drain(settings.drain_seconds)
            _log.info("drained", events_left=left)

    async def _begin(self, stack: AsyncExitStack, admission: Admission, outbox: Outbox, metrics: Metrics) -> None:
        """Load the model, see that it answers, and serve it."""
        settings = self._settings
        engine = await load_in_thread(partial(self._load, settings), settings.model)
        stack.push_async_callback(engine.close)
        metrics.watch_kv_cache(engine.kv_cache_usage)
        style = _style(settings, engine)
        completions = Completions(
            engine=engine,
            model=settings.served_name,
            style=style,
            source=settings.source,
            defaults=Defaults(
                max_tokens=settings.default_max_tokens,
                temperature=settings.default_temperature,
                top_p=settings.default_top_p,
                think_budget=settings.think_budget,
            ),
            admission=admission,
            outbox=outbox,
            metrics=metrics,
        )
        await warm_up(engine, settings.model)
        self._serving.begin(completions)
        _log.info("serving", model=settings.served_name, judge=style, port=settings.port)

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        """Do background work; where it fails, stop the server in good order, as a signal would."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - raised again by `raise_failure`, once everything is shut down
            self._failure = error
            _log.error("stopping", reason=str(error))
            signal.raise_signal(signal.SIGTERM)


def _trim(rest: Any, host: str) -> None:
    """Take from KServe's server what costs every request and serves nobody here. It is read when the server starts."""
    rest.config.host = host  # KServe listens on every address
    rest.config.proxy_headers = False  # nobody asks where a request came from
    rest.config.access_log = False
    rest.config.configure_logging()
    # KServe's one middleware measures every request for a log that we keep off.
    rest._add_middlewares = lambda _app: None  # noqa: SLF001 - there is no setting for it


def _tracing(settings: Settings) -> Tracing | None:
    """Put traces around the application, where they are on."""
    if settings.tracing == "off":
        return None
    from kat_predictor.api.trace_edge import TraceEdge  # noqa: PLC0415 - imports OpenTelemetry
    from kat_predictor.tracing import otlp_tracing  # noqa: PLC0415 - imports OpenTelemetry

    tracing = otlp_tracing(settings.source)
    # The last one added is the outermost.
    app.add_middleware(TraceEdge, tracing=tracing)
    return tracing


def _style(settings: Settings, engine: Engine) -> Style:
    if settings.judge != "auto":
        return settings.judge
    return "native" if ChatTemplate(engine).judges else "emulated"


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None, None]:
    """Let work run beside the body, and cancel it at the body's end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _check_port(host: str, port: int) -> None:
    """Find out before anything is loaded. Raises StartupError where the port cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise StartupError(f"Cannot listen on {host}:{port}: {error.strerror}; set KAT_HOST or KAT_PORT.") from error
