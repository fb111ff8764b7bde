"""A real Chromium: the one of the distribution, since none is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
# No sandbox, because tests may run as root; the rest keeps the browser from calling home.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, closed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """What a browser did that a page should not make it do."""

    origin: str
    faults: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.faults.append(f"uncaught: {error.error}"))

    def _request(self, request: Request) -> None:
        if not request.url.startswith(f"{self.origin}/console/"):
            self.faults.append(f"a request to {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.status} of {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"console: {message.text}")


@contextmanager
def visiting(browser: Browser, origin: str, **options: Any) -> Iterator[tuple[Page, Watched]]:
    """A fresh visitor's page, and what went wrong on it."""
    context = browser.new_context(
        base_url=origin, **{"locale": "en-US", "viewport": {"width": 1280, "height": 860}, **options}
    )
    watched = Watched(origin)
    watched.watch(context)
    try:
        yield context.new_page(), watched
    finally:
        context.close()


def sign_in(page: Page, token: str, back_to: str = "/console/") -> None:
    """As people do: paste and press Enter."""
    page.goto(back_to)
    page.locator("#token").fill(token)
    page.keyboard.press("Enter")
    page.locator("nav a[aria-current=page]").wait_for()
    page.wait_for_load_state()  # with its style sheet
