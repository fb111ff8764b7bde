"""KServe's routes whose own answers would be wrong here; registered before KServe's, these take their place.

KServe's health handlers always say yes, and its repository extension lets anybody unload the model.
"""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from kat_predictor.api.json_response import JsonResponse
from kat_predictor.errors import PermissionDenied
from kat_predictor.serving import Serving


def kserve_overrides(serving: Serving) -> APIRouter:
    """Liveness and readiness that are true, for probes without a key; and a model that stays loaded."""

    async def live(_request: Request) -> Response:
        return _answer("live", yes=await serving.alive())

    async def ready(_request: Request) -> Response:
        return _answer("ready", yes=await serving.ready())

    async def fixed(_request: Request) -> Response:
        raise PermissionDenied("The model of this server is fixed: it is neither loaded nor unloaded over HTTP.")

    router = APIRouter()
    router.add_route("/", live, methods=["GET"])
    router.add_route("/healthz", live, methods=["GET"])
    router.add_route("/v2/health/live", live, methods=["GET"])
    router.add_route("/v2/health/ready", ready, methods=["GET"])
    for verb in ("load", "unload"):
        router.add_route(f"/v2/repository/models/{{name}}/{verb}", fixed, methods=["POST"])
    return router


def _answer(name: str, *, yes: bool) -> Response:
    status = HTTPStatus.OK if yes else HTTPStatus.SERVICE_UNAVAILABLE
    return JsonResponse({name: yes}, status_code=status)
