"""Who looks at a page: the session in the cookie, checked by the one function that checks credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from starlette.datastructures import FormData

from kat_metering.api.auth import Identity, Role, identify
from kat_metering.api.services import Services, WithServices
from kat_metering.console.session import COOKIE, Seal, Session
from kat_metering.console.wording import Language, Wording, choose_language
from kat_metering.errors import ForbiddenError, NotFoundError, UnauthenticatedError

BASE: Final = "/console"
LANGUAGE_COOKIE: Final = "kat_console_language"
FORM_TOKEN: Final = "form_token"  # noqa: S105 - the name of a field
FORM_HEADER: Final = "X-Form-Token"


class SignInNeeded(Exception):
    """Nobody is signed in, or no longer. Carries the address to come back to."""

    def __init__(self, back_to: str) -> None:
        super().__init__(back_to)
        self.back_to = back_to


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in."""

    identity: Identity
    session: Session
    services: Services
    say: Wording

    @property
    def is_operator(self) -> bool:
        """An administrator, who sees every tenant."""
        return self.identity.role is Role.ADMIN

    def sees(self, asked: str | None) -> str | None:
        """As `Identity.sees`, but to a tenant any other's page does not exist. An empty choice is none."""
        try:
            return self.identity.sees(asked or None)
        except ForbiddenError as error:
            raise NotFoundError("There is no such page.") from error


def language_of(request: Request) -> Language:
    return choose_language(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language"))


def local_address(address: str | None) -> str:
    """An address to go to after a form, as long as it is a page of the console; its first page otherwise."""
    if address is None:
        return f"{BASE}/"
    parts = urlsplit(address)
    inside = parts.path.startswith(f"{BASE}/") and ".." not in parts.path and "\\" not in address
    if parts.scheme or parts.netloc or not inside or not address.isprintable():
        return f"{BASE}/"
    return address


def sign_in_address(back_to: str) -> str:
    return f"{BASE}/sign-in?back_to={quote(back_to, safe='')}"


def seal_of(request: Request) -> Seal:
    seal = request.app.state.seal
    if not isinstance(seal, Seal):
        raise TypeError(f"the seal is {type(seal)}")
    return seal


async def identify_bearer(request: Request, token: str, services: Services) -> Identity:
    """Whose token it is, as if it had come as the request's own bearer token. Raises what `identify` raises."""
    headers = [(b"authorization", b"Bearer " + token.encode("ascii", "replace"))]
    return await identify(Request({**request.scope, "headers": headers}), services)


async def _signed_in(request: Request, services: WithServices) -> Visitor:
    query = f"?{request.url.query}" if request.url.query else ""
    # A form cannot be sent again by a redirect: after signing in, the visitor starts from the first page.
    back_to = f"{request.url.path}{query}" if request.method == "GET" else f"{BASE}/"
    cookie = request.cookies.get(COOKIE)
    session = None if cookie is None else seal_of(request).open(cookie, now=services.clock())
    if session is None:
        raise SignInNeeded(back_to)
    try:
        identity = await identify_bearer(request, session.token.get_secret_value(), services)
    except UnauthenticatedError as error:
        raise SignInNeeded(back_to) from error
    if identity.role is Role.SERVICE:
        raise SignInNeeded(back_to)
    return Visitor(identity, session, services, Wording(language_of(request)))


SignedIn = Annotated[Visitor, Depends(_signed_in)]
"""Type of a route's parameter that receives who is signed in. Others are sent to sign in."""


async def _operator(visitor: SignedIn) -> Visitor:
    if not visitor.is_operator:
        raise NotFoundError("There is no such page.")
    return visitor


Operator = Annotated[Visitor, Depends(_operator)]
"""An administrator; to tenants the page does not exist."""


async def _own_form(request: Request, visitor: SignedIn) -> FormData:
    form = await request.form()
    sent = form.get(FORM_TOKEN) or request.headers.get(FORM_HEADER, "")
    if not visitor.session.sent_form(str(sent)):
        raise ForbiddenError("The form does not come from a page of this session.")
    return form


OwnForm = Annotated[FormData, Depends(_own_form)]
"""The fields of a form that a page of this very session sent. Raises ForbiddenError for any other."""
