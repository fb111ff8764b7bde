"""Choosing a language; it is remembered in a cookie that says nothing else."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from kat_metering.console.visitor import BASE, LANGUAGE_COOKIE, local_address
from kat_metering.console.wording import Language

router = APIRouter()

_YEAR_SECONDS = 365 * 24 * 3600


@router.get("/language/{language}")
async def choose(language: Language, back_to: str | None = None) -> Response:
    answer = RedirectResponse(local_address(back_to), HTTPStatus.SEE_OTHER)
    answer.set_cookie(LANGUAGE_COOKIE, language.value, max_age=_YEAR_SECONDS, path=BASE, httponly=True, samesite="lax")
    return answer
