"""The console in a real Chromium, with a real predictor behind the playground.

Whatever a test does, no page may ask another host for anything, log an error, or get a server error.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import URL, create_engine, text
from sqlalchemy.pool import NullPool

from tests.fakes.browser import CHROMIUM, chromium, sign_in, visiting
from tests.fakes.console_demo import Demo, console_demo

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")

Visit = Callable[..., Page]
WAIT_MS = 30_000
PAGES = ("Overview", "Usage", "API keys", "Budgets", "Statements", "Exports", "Playground")


@pytest.fixture(scope="module")
def demo(server: URL, template: str) -> Iterator[Demo]:
    name = f"kat_console_{uuid4().hex}"
    admin = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    try:
        with console_demo(server.set(database=name).render_as_string(hide_password=False)) as demo:
            yield demo
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


# Of this module alone: while Playwright's loop runs, no test of asyncio can.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, demo: Demo) -> Iterator[Visit]:
    """`visit(token, **options)`: a signed-in visitor's page; without a token, the page for signing in."""
    with ExitStack() as stack:
        faults = []

        def visiting_now(token: str | None = None, **options: Any) -> Page:
            page, watched = stack.enter_context(visiting(browser, demo.url, **options))
            faults.append(watched.faults)
            page.set_default_timeout(WAIT_MS)
            if token is None:
                page.goto("/console/")
            else:
                sign_in(page, token)
            return page

        yield visiting_now
        assert [fault for found in faults for fault in found] == []


def test_signing_in_with_an_api_key_shows_the_tenant(visit: Visit, demo: Demo) -> None:
    """And no script can read the session."""
    page = visit(demo.key)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.locator(".who")).to_have_text("acme")
    assert page.evaluate("() => document.cookie") == ""


def test_a_wrong_key_is_told_and_the_field_keeps_the_focus(browser: Browser, demo: Demo) -> None:
    """So that the next try can be typed at once."""
    with visiting(browser, demo.url) as (page, _):
        page.goto("/console/")
        page.locator("#token").fill("sk-kat-nonsense")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("unknown, revoked or expired")
        expect(page.locator("#token")).to_be_focused()


def test_the_overview_draws_its_charts(visit: Visit, demo: Demo) -> None:
    """Bars have the colour of their segment and a height."""
    page = visit(demo.key)
    bars = page.locator(".kind-think .rect")
    assert bars.count() > 0
    heights = [float(bar.get_attribute("height") or 0) for bar in bars.all()]
    assert max(heights) > 20
    assert bars.first.evaluate("bar => getComputedStyle(bar).fill") == "rgb(122, 91, 208)"


def test_savings_are_shown_with_their_interval(visit: Visit, demo: Demo) -> None:
    """And with the method and what it rests on."""
    tile = visit(demo.key).locator(".saving")
    expect(tile).to_contain_text("L2 · measured")
    expect(tile).to_contain_text(re.compile(r"95 % interval [\d.]+ to [\d.]+"))


def test_every_page_is_reached_by_keyboard(visit: Visit, demo: Demo) -> None:
    """Tab leads past the skip link through the navigation in order; the focus can be seen."""
    page = visit(demo.key)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Tab")  # the brand
    for name in PAGES:
        page.keyboard.press("Tab")
        focused = page.get_by_role("navigation").get_by_role("link", name=name, exact=True)
        expect(focused).to_be_focused()
        assert focused.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Playground")).to_be_visible()


def test_the_skip_link_leads_past_the_navigation(visit: Visit, demo: Demo) -> None:
    """The next Tab is in the content."""
    page = visit(demo.key)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.getElementById('main').contains(document.activeElement)")


def test_the_language_is_switched_on_the_page(visit: Visit, demo: Demo) -> None:
    """It stays on the page, and stays Chinese on the next."""
    page = visit(demo.key)
    page.goto("/console/usage?group=model")
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("heading", name="用量")).to_be_visible()
    assert page.url.endswith("/console/usage?group=model")
    page.get_by_role("link", name="账单").click()
    expect(page.get_by_role("heading", name="账单")).to_be_visible()
    assert page.evaluate("() => document.documentElement.lang") == "zh-Hans"


def test_a_chinese_browser_gets_chinese(visit: Visit) -> None:
    """Without having to ask, before anybody is signed in."""
    expect(visit(locale="zh-CN").get_by_role("heading", name="登录")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["", "usage", "budgets", "statements/KAT-000001", "playground"])
def test_text_stands_out_from_its_ground(visit: Visit, demo: Demo, scheme: str, address: str) -> None:
    """At least 4.5 to 1 (WCAG 2.2, 1.4.3), in the light and in the dark."""
    page = visit(demo.key, color_scheme=scheme)
    page.goto(f"/console/{address}")
    assert page.evaluate(_CONTRASTS) == []


def test_dark_is_dark(visit: Visit, demo: Demo) -> None:
    """The ground follows the system's wish."""
    grounds = {
        scheme: visit(demo.key, color_scheme=scheme).evaluate("() => getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert grounds == {"light": "rgb(246, 247, 249)", "dark": "rgb(18, 21, 28)"}


def test_a_phone_needs_no_sideways_scrolling(visit: Visit, demo: Demo) -> None:
    """Wide tables scroll in their own frame."""
    page = visit(demo.key, viewport={"width": 390, "height": 800})
    for address in ("", "usage", "keys", "statements/KAT-000001", "exports", "playground"):
        page.goto(f"/console/{address}")
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), address


def test_the_playground_streams_an_answer(visit: Visit, demo: Demo) -> None:
    """Judge, mode, thoughts and answer as they come; then tokens, cost and savings."""
    page = visit(demo.key)
    page.goto("/console/playground")
    page.get_by_label("Prompt").fill("Is 91 a prime number?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#text-judge")).to_contain_text("The question asks", timeout=WAIT_MS)
    # The answer is not there yet while the model judges: it comes piece by piece.
    assert "No. 91" not in page.locator("#text-answer").inner_text()
    expect(page.locator("#mode")).to_have_text("Think-on", timeout=WAIT_MS)
    expect(page.locator("#source")).to_have_text("the model's own judge")
    expect(page.locator("#text-think")).to_contain_text("Try small primes", timeout=WAIT_MS)
    expect(page.locator("#text-answer")).to_have_text("No. 91 = 7 * 13, so it is not a prime number.", timeout=WAIT_MS)
    expect(page.locator("#state")).to_have_text("Done", timeout=WAIT_MS)
    counts = [int(page.locator(f"#tokens-{name}").inner_text()) for name in ("judge", "think", "answer")]
    assert min(counts) > 10
    assert page.locator("#count-reasoning").inner_text() == str(counts[0] + counts[1])
    expect(page.locator("#cost")).to_have_text(re.compile(r"^\d+\.\d\d USD$"), timeout=WAIT_MS)
    expect(page.locator("#savings")).to_have_text(re.compile(r"^\d+\.\d\d USD$"))
    expect(page.locator("#basis")).to_have_text("measured")


def test_an_answer_can_be_stopped(visit: Visit, demo: Demo) -> None:
    """What was generated until then is billed all the same."""
    page = visit(demo.key)
    page.goto("/console/playground")
    page.get_by_label("Prompt").fill("Is 91 a prime number?")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#text-judge")).to_contain_text("question", timeout=WAIT_MS)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#state")).to_have_text("Stopped")
    expect(page.locator("#cost")).to_have_text(re.compile("USD"), timeout=WAIT_MS)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    # The predictor noticed, and went on no longer than that.
    page.goto("/console/usage?group=status&status=aborted")
    expect(page.get_by_role("cell", name="Aborted by the client")).to_be_visible()


def test_what_the_predictor_refuses_is_told(visit: Visit, demo: Demo) -> None:
    """In its own words: they name what to change."""
    page = visit(demo.key)
    page.goto("/console/playground")
    page.get_by_label("Prompt").fill("Is 91 a prime number?")
    page.get_by_label("Tokens at most").fill("32768")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#state")).to_contain_text("That did not work.", timeout=WAIT_MS)
    expect(page.locator("#state")).to_contain_text("maximum context length is 2000 tokens")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_thinking_can_be_forbidden(visit: Visit, demo: Demo) -> None:
    """The request then chose the mode, not the model."""
    page = visit(demo.key)
    page.goto("/console/playground")
    page.get_by_label("Prompt").fill("Is 91 a prime number?")
    page.get_by_role("radio", name="Off").check(force=True)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#mode")).to_have_text("Think-off", timeout=WAIT_MS)
    expect(page.locator("#source")).to_have_text("a request parameter")


def test_the_key_never_comes_back(visit: Visit, demo: Demo) -> None:
    """Neither in the page that streams answers under it, nor in a cookie as it is."""
    page = visit(demo.key)
    page.goto("/console/playground")
    cookies = str(page.context.cookies())
    assert "kat_console" in cookies
    assert demo.key not in page.content() + cookies


def test_the_operators_token_is_no_key_for_the_playground(visit: Visit, demo: Demo) -> None:
    """Answers are metered under a key; the page says so."""
    page = visit(demo.admin_token)
    page.goto("/console/playground")
    expect(page.get_by_role("heading", name="The playground needs an API key")).to_be_visible()


def test_an_operator_issues_and_revokes_a_key(visit: Visit, demo: Demo) -> None:
    """By its forms, with a confirmation before what cannot be undone."""
    page = visit(demo.admin_token)
    page.goto("/console/keys?tenant=borealis")
    page.get_by_label("Name", exact=True).fill("nightly")
    page.get_by_role("button", name="Issue key").click()
    key = page.locator(".key").inner_text()
    row = page.get_by_role("row").filter(has_text="nightly")
    row.get_by_text("Revoke", exact=True).click()
    row.get_by_role("button").click()
    expect(page.get_by_role("row").filter(has_text="nightly")).to_contain_text("Revoked")
    assert key not in page.content()


def test_an_export_is_downloaded(visit: Visit, demo: Demo) -> None:
    """As a file, by the form of the page."""
    page = visit(demo.key)
    page.goto("/console/exports")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    assert started.value.suggested_filename.endswith(".csv")


def test_a_statement_prints_from_the_console(visit: Visit, demo: Demo) -> None:
    """The document is a page of its own."""
    page = visit(demo.key)
    page.goto("/console/statements")
    page.get_by_role("link", name="KAT-000001").click()
    expect(page.get_by_text("Content matches its hash")).to_be_visible()
    page.get_by_role("link", name="Printable document").click()
    expect(page.get_by_role("heading", name="Statement KAT-000001")).to_be_visible()


_CONTRASTS = """() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const line = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    return 0.2126 * line(r) + 0.7152 * line(g) + 0.0722 * line(b);
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.disabled || !element.checkVisibility() || element.closest("svg")) continue;
    const [one, other] = [light(rgb(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) found.push(`${element.tagName} ${element.className} ${ratio.toFixed(2)}: ${element.textContent.slice(0, 30)}`);
  }
  return found;
}"""
