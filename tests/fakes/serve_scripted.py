"""The real server around a scripted engine: `python -m tests.fakes.serve_scripted JSON`, settings by environment.

The object holds the replies, and what else the engine is to do:

    replies         what it says
    stall_after     tokens after which it says no more
    call_seconds    how long each call takes before its first token
    token_seconds   how long each token takes
    load, warm_up   "ok", "fail" or "hang"
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import click

from kat.logs import configure_logs
from kat_predictor.engines.base import Engine, EngineError, TokenChunk
from kat_predictor.errors import StartupError
from kat_predictor.server import serve
from kat_predictor.settings import Settings, load_settings
from tests.fakes.engine import Reply, ScriptedEngine


class ServedEngine(ScriptedEngine):
    """Takes its time, and dies for good at a prompt that says so."""

    call_seconds = 0.0
    token_seconds = 0.0

    def _reply(self, call: Any) -> Reply:
        if "die" in call.prompt:
            self.broken = True
            raise EngineError("the engine died")
        return super()._reply(call)

    async def _speak(self, call: Any) -> AsyncGenerator[TokenChunk, None]:
        await asyncio.sleep(self.call_seconds)
        async with aclosing(super()._speak(call)) as chunks:
            async for chunk in chunks:
                await asyncio.sleep(self.token_seconds)
                yield chunk


_WARM_UPS: dict[str, str | Reply] = {
    "ok": "warm",
    "fail": Reply("warm", fail_after=0),
    "hang": Reply("warm", stall_after=0),
}


def main() -> None:
    script = json.loads(sys.argv[1])

    def load(_settings: Settings) -> Engine:
        if script.get("load") == "fail":
            raise OSError("no such checkpoint")
        if script.get("load") == "hang":
            threading.Event().wait()
        stall = script.get("stall_after")
        warm_up = _WARM_UPS[script.get("warm_up", "ok")]
        engine = ServedEngine([warm_up, *(Reply(reply, stall_after=stall) for reply in script["replies"])])
        engine.call_seconds = script.get("call_seconds", 0.0)
        engine.token_seconds = script.get("token_seconds", 0.0)
        return engine

    configure_logs()
    try:
        serve(load_settings(), load)
    except StartupError as error:
        click.echo(f"predictor: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
