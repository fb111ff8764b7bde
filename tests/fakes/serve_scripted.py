"""The real server around a scripted engine: `python -m tests.fakes.serve_scripted JSON`, settings by environment.

The object holds the replies: {"replies": [...], "stall_after": null, "load": "ok" | "fail" | "hang", ...}.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import click

from kat.logs import configure_logs
from kat_predictor.engines.base import Engine, EngineError
from kat_predictor.errors import StartupError
from kat_predictor.server import serve
from kat_predictor.settings import Settings, load_settings
from tests.fakes.engine import Reply, ScriptedEngine


class MortalEngine(ScriptedEngine):
    """Dies for good at a prompt that says so."""

    def _reply(self, call: Any) -> Reply:
        if "die" in call.prompt:
            self.broken = True
            raise EngineError("the engine died")
        return super()._reply(call)


def main() -> None:
    script = json.loads(sys.argv[1])

    def load(_settings: Settings) -> Engine:
        if script.get("load") == "fail":
            raise OSError("no such checkpoint")
        if script.get("load") == "hang":
            threading.Event().wait()
        stall = script.get("stall_after")
        replies: list[str | Reply] = ["warm", *(Reply(reply, stall_after=stall) for reply in script["replies"])]
        return MortalEngine(replies)

    configure_logs()
    try:
        serve(load_settings(), load)
    except StartupError as error:
        click.echo(f"predictor: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
