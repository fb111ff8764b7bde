"""The thread that keeps the database in order: schema and first prices at start, partitions ahead, the roll-up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Engine

from kat_metering.metrics import Metrics
from kat_metering.rollup import roll_up
from kat_metering.seed import seed_defaults
from kat_metering.settings import Settings
from kat_metering.store.partitions import ensure_partitions, months_around
from kat_metering.store.schema import upgrade_schema

log = structlog.get_logger(__name__)

_RETRY_SECONDS: Final = 0.5
_FAILURES_PER_LINE: Final = 60  # one line in the log at once, then one every half minute
_PARTITIONS_EVERY: Final = timedelta(hours=1)


def prepare(engine: Engine, *, migrate: bool, currency: str, now: datetime) -> None:
    """Bring schema, first prices and partitions about. Of no effect where they are there."""
    if migrate:
        upgrade_schema(engine)
    ensure_partitions(engine, months_around(now))
    with engine.begin() as connection:
        seed_defaults(connection, currency=currency)


class Keeper:
    """Starts as soon as the database answers, and survives its absences."""

    def __init__(self, engine: Engine, settings: Settings, metrics: Metrics, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._prepared = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    @property
    def prepared(self) -> bool:
        """Whether the database has been brought in order since the start."""
        return self._prepared.is_set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the pass that is under way has ended."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        self._until_done(self._prepare)
        self._prepared.set()
        partitions_checked = self._clock()
        while not self._stopping.wait(self._settings.rollup_interval_seconds):
            self._until_done(self._roll_up)
            if self._clock() - partitions_checked > _PARTITIONS_EVERY:
                self._until_done(self._ensure_partitions)
                partitions_checked = self._clock()

    def _until_done(self, job: Callable[[], None]) -> None:
        attempts = 0
        while not self._stopping.is_set():
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whatever it is, trying again is all that can be done
                if attempts % _FAILURES_PER_LINE == 0:
                    log.warning("the database could not be kept; trying again", job=job.__name__, error=str(error))
                attempts += 1
                self._stopping.wait(_RETRY_SECONDS)
            else:
                return

    def _prepare(self) -> None:
        prepare(
            self._engine,
            migrate=self._settings.metering_migrate,
            currency=self._settings.currency,
            now=self._clock(),
        )

    def _roll_up(self) -> None:
        self._metrics.rolled_up(roll_up(self._engine).as_of)

    def _ensure_partitions(self) -> None:
        ensure_partitions(self._engine, months_around(self._clock()))
