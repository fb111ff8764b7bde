"""Pages escape whatever they are given, and lead nowhere but to the console."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from jinja2 import PackageLoader
from pydantic import SecretStr

from kat.directory import Limits
from kat_metering.api.auth import Identity, Role
from kat_metering.console.pages import address, environment, render
from kat_metering.console.playground_page import ModeWish, Question
from kat_metering.console.session import Session
from kat_metering.console.tenant_choice import TenantChoice
from kat_metering.console.visitor import local_address
from kat_metering.console.wording import Language, Wording
from kat_metering.tenants import KeyView

EVIL = "\"'><script>alert(1)</script>"
TEMPLATES = PackageLoader("kat_metering.console")
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def a_page(template: str, language: Language = Language.ENGLISH, *, operator: bool = True, **context: Any) -> str:
    identity = Identity(Role.ADMIN) if operator else Identity(Role.TENANT, EVIL)
    visitor = SimpleNamespace(identity=identity, is_operator=operator, session=Session(SecretStr("t"), "form-token"))
    known = {"visitor": visitor, "here": "/console/", "place": template, "choice": TenantChoice("acme", ())}
    return render(template, say=Wording(language), **{**known, **context})


def a_key(**changed: Any) -> KeyView:
    known = {"id": UUID(int=7), "tenant": EVIL, "project": EVIL, "name": EVIL, "prefix": "sk-kat-abcde"}
    money = {"limits": Limits(), "monthly_budget": None, "think_off_at": "0.8", "budget": None}
    return KeyView(**{**known, **money, "created_at": NOW, "expires_at": None, "revoked_at": None, **changed})


@pytest.mark.parametrize("language", list(Language))
def test_names_of_other_people_are_escaped(language: Language) -> None:
    """A key's name is shown as the text it is."""
    choice = TenantChoice(EVIL, [(EVIL, EVIL)])
    html = a_page(
        "keys",
        language,
        choice=choice,
        keys=[(a_key(), "active")],
        issued=None,
        currency="USD",
        here=f"/console/{EVIL}",
    )
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_a_tenants_name_in_the_heading_is_escaped() -> None:
    """Every page shows who is signed in."""
    assert "<script>" not in a_page("nothing_to_state", operator=False)


@pytest.mark.parametrize("language", list(Language))
def test_the_page_says_its_language(language: Language) -> None:
    """For screen readers, and for the shapes of Chinese characters."""
    html = a_page("error", language, kind="404", fields=[])
    assert f'<html lang="{language.html}">' in html


@pytest.mark.parametrize("template", sorted(environment().list_templates()))
def test_templates_have_nothing_inline(template: str) -> None:
    """Styles and scripts are files of our own, as the page's policy demands."""
    source = TEMPLATES.get_source(environment(), template)[0]
    assert [
        text
        for text in ("<style", "style=", "onclick", "javascript:", "http://", "https://", "| safe")
        if text in source
    ] == []


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ("/console/usage?from=2026-11-01", "/console/usage?from=2026-11-01"),
        ("/console/", "/console/"),
        (None, "/console/"),
        ("https://evil.example/console/", "/console/"),
        ("//evil.example/console/", "/console/"),
        ("/console/../v1/usage", "/console/"),
        ("/console\\evil", "/console/"),
        ("/console/\\evil.example", "/console/"),
        ("/consolevil/", "/console/"),
        ("/console/a\r\nSet-Cookie: b", "/console/"),
        ("javascript:alert(1)", "/console/"),
    ],
)
def test_the_way_back_leads_to_the_console_alone(asked: str | None, where: str) -> None:
    """Signing in is no way to send somebody elsewhere."""
    assert local_address(asked) == where


def test_an_address_has_what_is_set_of_its_query() -> None:
    """Values are encoded, empty ones left out."""
    assert address("usage", tenant="a&b", group=None) == "/console/usage?tenant=a%26b"
    assert address("overview") == "/console/"


@pytest.mark.parametrize(
    ("mode", "parameters"),
    [
        (ModeWish.AUTO, None),
        (ModeWish.ON, {"enable_thinking": True}),
        (ModeWish.OFF, {"enable_thinking": False}),
    ],
)
def test_the_playground_asks_as_any_client_would(mode: ModeWish, parameters: dict[str, bool] | None) -> None:
    """A stream with its usage; a wish is the ecosystem's own parameter, no wish is none."""
    asked = Question(model="m", prompt="p", mode=mode).request()
    assert (asked["stream"], asked["stream_options"]) == (True, {"include_usage": True})
    assert asked.get("chat_template_kwargs") == parameters
