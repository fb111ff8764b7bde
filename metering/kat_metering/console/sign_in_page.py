"""Signing in and out: credentials are exchanged once for a session."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from kat_metering.api.auth import Role
from kat_metering.api.services import WithServices
from kat_metering.console.pages import page
from kat_metering.console.session import COOKIE, LONGEST_TOKEN, Session
from kat_metering.console.visitor import BASE, OwnForm, identify_bearer, local_address, seal_of
from kat_metering.errors import ForbiddenError, UnauthenticatedError

router = APIRouter()


@router.get("/sign-in")
async def ask(request: Request, back_to: str | None = None) -> Response:
    return page(request, "sign_in", back_to=local_address(back_to), refused=False)


@router.post("/sign-in")
async def sign_in(
    request: Request,
    services: WithServices,
    token: Annotated[str, Form(max_length=100_000)] = "",
    back_to: Annotated[str | None, Form()] = None,
) -> Response:
    """A page of another site cannot sign a visitor in to an account of its choice."""
    refuse_other_sites(request)
    token = token.strip()
    if not await _admitted(request, token, services):
        status = HTTPStatus.UNAUTHORIZED
        return page(request, "sign_in", status=status, back_to=local_address(back_to), refused=True)
    seal = seal_of(request)
    answer = RedirectResponse(local_address(back_to), HTTPStatus.SEE_OTHER)
    answer.set_cookie(
        COOKIE,
        seal.close(Session.begin(token), now=services.clock()),
        max_age=int(seal.lifetime.total_seconds()),
        path=BASE,
        secure=_over_https(request),
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/sign-out")
async def sign_out(_: OwnForm) -> Response:
    answer = RedirectResponse(f"{BASE}/sign-in", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE, path=BASE)
    return answer


def refuse_other_sites(request: Request) -> None:
    """For the one form that is sent before there is a session. Raises ForbiddenError."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        # The browser's own word, which holds behind proxies that change the host as well. Over plain http it says none.
        foreign = site not in {"same-origin", "none"}
    else:
        foreign = origin is not None and origin.partition("://")[2] != request.headers.get("host")
    if foreign:
        raise ForbiddenError("The form comes from another site.")


def _over_https(request: Request) -> bool:
    """Whether the browser came by https, to us or to a proxy before us. Lying about it harms the liar's cookie alone."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return "https" in {request.url.scheme, forwarded}


async def _admitted(request: Request, token: str, services: WithServices) -> bool:
    if not token or len(token) > LONGEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        return False
    try:
        identity = await identify_bearer(request, token, services)
    except (UnauthenticatedError, ForbiddenError):
        return False
    return identity.role is not Role.SERVICE
