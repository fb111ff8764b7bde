"""Rendering: templates, their filters, and what every page shows."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from kat_metering.console import figures
from kat_metering.console.visitor import BASE, Visitor, language_of
from kat_metering.console.wording import NAMES, Language, Wording

PLACES: Final = ("overview", "usage", "keys", "budgets", "statements", "exports", "playground")
"""The pages, in the order of the navigation; each is a key of the wording and a part of an address."""


def address(place: str, **query: str | None) -> str:
    """The address of a page, with what is set of the query."""
    path = f"{BASE}/" if place == "overview" else f"{BASE}/{place}"
    asked = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(asked)}" if asked else path


def page(
    request: Request, template: str, *, visitor: Visitor | None = None, status: int = 200, **context: Any
) -> HTMLResponse:
    """A page of the console. `template` is the name of its file without the suffix; `visitor` None: nobody's page."""
    say = Wording(language_of(request)) if visitor is None else visitor.say
    query = f"?{request.url.query}" if request.url.query else ""
    html = render(
        template,
        say=say,
        visitor=visitor,
        here=f"{request.url.path}{query}",
        place=context.pop("place", template),
        **context,
    )
    return HTMLResponse(html, status)


def render(template: str, *, say: Wording, **context: Any) -> str:
    """A template's text. Every name that it uses has to be given."""
    return environment().get_template(f"{template}.html").render(say=say, **context)


@cache
def environment() -> Environment:
    """The templates of the console. Whatever is put into one is escaped."""
    made = Environment(
        loader=PackageLoader("kat_metering.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "count": figures.count,
        "short_count": figures.short_count,
        "percent": figures.percent,
        "money": figures.money,
        "moment": figures.moment,
        "tenths": lambda value: f"{Decimal(value):.1f}",
    }
    made.globals |= {
        "address": address,
        "base": BASE,
        "places": PLACES,
        "languages": [(language.value, language.html, NAMES[language]) for language in Language],
        "share": figures.share,
        "places_for": figures.places_for,
        "nothing": figures.NOTHING,
    }
    return made
