"""The real predictor around an engine without a model: `python -m bench.instant.predictor`, settings as always."""

from __future__ import annotations

from bench.instant.engine import InstantEngine
from kat.logs import configure_logs
from kat_predictor.cli import QUIET
from kat_predictor.server import serve
from kat_predictor.settings import load_settings


def main() -> None:
    """Serve until told to stop."""
    configure_logs(quiet=QUIET)
    serve(load_settings(), lambda settings: InstantEngine(default_max_tokens=settings.default_max_tokens))


if __name__ == "__main__":
    main()
