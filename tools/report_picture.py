"""Writes docs/images/report.png: `kat report` of a platform at work, `python -m tools.report_picture`; needs Chromium.

What runs is real (a metering service with an embedded Postgres, a predictor, a Prometheus of Debian's that scrapes both
under the rules of dashboards/rules.yaml), but for the engine, which is scripted, and the usage of the days before.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import ViewportSize

from kat_metering.store.embedded import EmbeddedPostgres
from tests.fakes.browser import chromium
from tests.fakes.console_demo import MODEL, Demo, console_demo
from tests.fakes.folders import database_folder
from tests.fakes.real_prometheus import running_prometheus

_ROOT: Final = Path(__file__).parents[1]
_IMAGE: Final = _ROOT / "docs" / "images" / "report.png"
_SIZE: Final[ViewportSize] = {"width": 1180, "height": 1160}
_SECONDS: Final = 75
_WORKERS: Final = 10
_MODES: Final[tuple[dict[str, str | int], ...]] = (
    {},
    {},
    {"reasoning_effort": "none"},
    {"reasoning_effort": "none"},
    {"reasoning_effort": "high", "thinking_token_budget": 12},
)


def main() -> None:
    with (
        tempfile.TemporaryDirectory(
            prefix="kat-postgres-", dir=database_folder(), ignore_cleanup_errors=True
        ) as database,
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(database)) as postgres,
        console_demo(postgres.url) as demo,
        running_prometheus(
            Path(folder),
            targets={
                urlsplit(url).netloc: {"namespace": "default", "pod": name}
                for name, url in (("kat-0", demo.predictor_url), ("metering-0", demo.url))
            },
            rules=_ROOT / "dashboards" / "rules.yaml",
        ) as (_, url),
    ):
        _load(demo)
        page = Path(folder) / "report.html"
        kat = Path(sys.executable).with_name("kat")
        arguments = ["--hours", str(_SECONDS / 3_600), "--scrape-interval", "1", "--prometheus", url]
        subprocess.run([kat, "report", "--html", page, "--database", postgres.url, *arguments], check=True)  # noqa: S603 - our own command
        with chromium() as browser:
            shown = browser.new_page(viewport=_SIZE)
            shown.goto(page.as_uri())
            shown.screenshot(path=_IMAGE)
    print(f"{_IMAGE.relative_to(_ROOT)}: {_IMAGE.stat().st_size / 1024:.0f} KiB")


def _load(demo: Demo) -> None:
    """More and fewer requests at once, of every mode, by a tenant whose budget is not spent."""
    until = time.monotonic() + _SECONDS

    def work(worker: int) -> None:
        dice = random.Random(worker)  # noqa: S311 - for a picture
        key = {"Authorization": f"Bearer {demo.other_key}"}
        with httpx.Client(base_url=demo.predictor_url, headers=key, timeout=120) as client:
            while time.monotonic() < until:
                body = {"model": MODEL, "messages": [{"role": "user", "content": "Is 91 a prime number?"}]}
                client.post("/v1/chat/completions", json={**body, **dice.choice(_MODES)}).raise_for_status()
                time.sleep(dice.expovariate(0.4))

    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(work, range(_WORKERS)))


if __name__ == "__main__":
    main()
