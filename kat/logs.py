"""Logs on standard error: for people on a terminal, as JSON lines elsewhere. Other libraries' records join them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any

import structlog


def configure_logs(*, quiet: Iterable[str] = ()) -> None:
    """Send what structlog and the standard library log through one formatter; of `quiet` loggers, warnings alone."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if sys.stderr.isatty():
        final.append(structlog.dev.ConsoleRenderer())
    else:
        final.extend([structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()])
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING)
