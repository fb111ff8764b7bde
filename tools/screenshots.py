"""Writes docs/images/console-*.png from a running console: `python tools/screenshots.py`, with Chromium installed.

The usage is made up, the pages are not: a metering service with an embedded Postgres, and a predictor around a scripted
engine, are started for it and stopped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page, expect

from kat_metering.store.embedded import EmbeddedPostgres
from tests.fakes.browser import chromium, sign_in, visiting
from tests.fakes.console_demo import Demo, console_demo
from tests.fakes.folders import database_folder

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
_SIZE: Final = {"width": 1120, "height": 700}
_ANSWER_MS: Final = 60_000


def _nothing(_: Page) -> None:
    """The page is ready as it comes."""


def _ask(page: Page) -> None:
    page.get_by_label("Prompt").fill("Is 91 a prime number?")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#cost")).to_contain_text("USD", timeout=_ANSWER_MS)
    page.locator("#prompt").blur()


@dataclass(frozen=True)
class Shot:
    """One picture."""

    name: str
    address: str
    operator: bool = False
    prepare: Callable[[Page], None] = _nothing
    options: dict[str, Any] = field(default_factory=dict)


SHOTS: Final = (
    Shot("overview-light", ""),
    Shot("overview-dark", "", options={"color_scheme": "dark"}),
    Shot("overview-chinese", "", operator=True, options={"locale": "zh-CN"}),
    Shot("usage", "usage?group=project&measure=cost", operator=True),
    Shot("playground", "playground", prepare=_ask, options={"viewport": {"width": 1120, "height": 820}}),
    Shot("statement", "statements/KAT-000001"),
)


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(
            prefix="kat-postgres-", dir=database_folder(), ignore_cleanup_errors=True
        ) as folder,
        EmbeddedPostgres(Path(folder)) as postgres,
        console_demo(postgres.url) as demo,
        chromium() as browser,
    ):
        for shot in SHOTS:
            with visiting(browser, demo.url, **{"viewport": _SIZE, **shot.options}) as (page, watched):
                _take(page, shot, demo)
            if watched.faults:
                raise SystemExit(f"{shot.name}: {watched.faults}")


def _take(page: Page, shot: Shot, demo: Demo) -> None:
    sign_in(page, demo.admin_token if shot.operator else demo.key)
    page.goto(f"/console/{shot.address}")
    shot.prepare(page)
    path = IMAGES / f"console-{shot.name}.png"
    page.screenshot(path=path)
    print(f"{path.relative_to(IMAGES.parents[1])}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
