"""`kat up`: the whole platform on one machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import click
import httpx
from rich.console import Console
from rich.markup import escape

from kat import showcase
from kat.home import kat_home
from kat.platform import TENANT, AlreadyRunning, Options, Platform, sole_user_of_home
from kat.processes import Part, PartFailed

_WATCH_SECONDS: Final = 1.0
_RESTARTS: Final = 3
_RESTART_WINDOW_SECONDS: Final = 60.0
_DETAIL_SECONDS: Final = 5.0
_LOG_FRAME: Final = {"event", "level", "logger", "timestamp"}


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM. A BaseException, as KeyboardInterrupt is: no handler of errors may take it for one."""


@click.command(short_help="Run the whole platform on this machine, until Ctrl-C.")
@click.option("--model", default="default", show_default=True, help="A checkpoint folder, a hub id or a bundled model.")
@click.option("--predictor-port", default=8080, show_default=True, help="Where taken, a free one is used.")
@click.option("--metering-port", default=8090, show_default=True, help="Where taken, a free one is used.")
@click.option("--check", is_flag=True, help="Stop after the prompts; exit 0 when all worked.")
def up(model: str, predictor_port: int, metering_port: int, *, check: bool) -> None:
    """Start embedded Postgres, metering and the predictor, send real prompts, print what they cost and saved.

    Then serve until Ctrl-C. State is kept in KAT_HOME (~/.kat).
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    options = Options(model=model, predictor_port=predictor_port, metering_port=metering_port)
    try:
        with sole_user_of_home(), _signals_stop():
            _run(console, options, check=check)
    except (AlreadyRunning, PartFailed, showcase.ShowcaseFailed, httpx.HTTPError) as error:
        raise click.ClickException(f"{error}\nlogs: {kat_home() / 'logs'}") from error


def _run(console: Console, options: Options, *, check: bool) -> None:
    progress = _Progress(console)
    platform = Platform(options, say=progress.step, log=progress.log)
    try:
        with progress:
            platform.start()
            model = _served_model(platform)
            progress.step(f"sending {len(showcase.PROMPTS)} prompts to {model}")
            outcomes = asyncio.run(
                showcase.run(
                    predictor_url=platform.predictor_url,
                    metering_url=platform.metering_url,
                    api_key=platform.api_key.get_secret_value(),
                    model=model,
                    done=lambda prompt: progress.step(f"answered: {prompt.text.splitlines()[0]}"),
                )
            )
        console.print(showcase.table(outcomes))
        if check:
            console.print("[green]All parts work.[/green]")
            return
        _print_addresses(console, platform, model)
        _watch(console, platform)
    except _Stopped:
        if check:
            raise click.ClickException("stopped before everything was checked") from None
        console.print()
    finally:
        with progress:
            platform.stop()
    if not check:
        console.print("Stopped.")


def _served_model(platform: Platform) -> str:
    headers = {"Authorization": f"Bearer {platform.api_key.get_secret_value()}"}
    models = httpx.get(f"{platform.predictor_url}/v1/models", headers=headers, timeout=30).raise_for_status().json()
    name: str = models["data"][0]["id"]
    return name


def _print_addresses(console: Console, platform: Platform, model: str) -> None:
    key = platform.api_key.get_secret_value()
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "What is 17 * 23?"}}], "max_tokens": 200}}'
    console.print(
        f"\nOpenAI API   {platform.predictor_url}/v1\n"
        f"Metrics      {platform.predictor_url}/metrics  {platform.metering_url}/metrics\n"
        f"Metering     {platform.metering_url}\n"
        f"Console      {platform.metering_url}/console/  (sign in with the API key)\n"
        f"API key      {key}\n\nTry it:\n",
        highlight=False,
    )
    # Plain, so that a wrapped line can still be copied.
    click.echo(
        f"curl {platform.predictor_url}/v1/chat/completions -H 'Authorization: Bearer {key}' "
        f"-H 'Content-Type: application/json' -d '{body}'\n\n"
        f"kat usage; kat savings; kat export --tenant {TENANT}      (in another terminal)\nCtrl-C stops everything."
    )


def _watch(console: Console, platform: Platform) -> None:
    """Restart a part that died, unless it keeps dying. Returns only by an exception."""
    restarts: dict[str, list[float]] = {}
    while True:
        threading.Event().wait(_WATCH_SECONDS)
        for part in platform.dead_parts():
            recent = [at for at in restarts.get(part.name, []) if time.monotonic() - at < _RESTART_WINDOW_SECONDS]
            if len(recent) >= _RESTARTS:
                raise PartFailed(f"{part.name} died {len(recent) + 1} times within a minute:\n{part.log_tail()}")
            restarts[part.name] = [*recent, time.monotonic()]
            _restart(console, part)


def _restart(console: Console, part: Part) -> None:
    console.print(f"[yellow]{part.name} died; starting it again[/yellow]")
    part.start()


class _Progress:
    """One line that changes on a terminal; a line for each step, and now and then for what a part logs, elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("starting")
        self._detail = ""
        self._detail_at = 0.0

    def step(self, text: str) -> None:
        if self._console.is_terminal:
            self._status.update(escape(text))
        else:
            self._console.print(f"… {text}", highlight=False, markup=False)

    def log(self, line: str) -> None:
        """Show what a part logs while it starts."""
        text = _readable(line)
        quiet = not self._console.is_terminal and time.monotonic() - self._detail_at < _DETAIL_SECONDS
        if text and text != self._detail and not quiet:
            self._detail, self._detail_at = text, time.monotonic()
            self.step(text[: self._console.width - 4])

    def __enter__(self) -> None:
        if self._console.is_terminal:
            self._status.start()

    def __exit__(self, *_: object) -> None:
        self._status.stop()


def _readable(line: str) -> str:
    """A log line as people read it: the event and its fields, without time, level and logger."""
    text = line.rpartition("\r")[2].strip()
    try:
        record = json.loads(text)
    except ValueError:
        return text
    if not isinstance(record, dict):
        return text
    fields = {name: value for name, value in record.items() if name not in _LOG_FRAME}
    return " ".join([str(record.get("event", "")), *(f"{name}={value}" for name, value in fields.items())])


@contextmanager
def _signals_stop() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into _Stopped; further ones are ignored while everything stops."""

    def stop(signum: int, _frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_IGN)
        raise _Stopped

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
