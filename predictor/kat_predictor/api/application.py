"""Everything of ours that is put on the application of KServe's server, before KServe adds its own."""

from __future__ import annotations

from fastapi import FastAPI

from kat_predictor.api.answers import install_error_answers
from kat_predictor.api.edge import RequestEdge
from kat_predictor.api.kserve_overrides import kserve_overrides
from kat_predictor.api.openai import openai_router
from kat_predictor.serving import Serving


def install(app: FastAPI, serving: Serving, *, model: str, created: int, max_body_bytes: int) -> None:
    """Routes, errors and limits.

    Args:
        app: The application. Its first matching route answers, so this comes before KServe's.
        serving: What runs requests.
        model: The served name.
        created: Since when the model is served, in seconds since 1970.
        max_body_bytes: A longer body is refused.
    """
    app.add_middleware(RequestEdge, max_body_bytes=max_body_bytes)
    install_error_answers(app)
    # Routes are tried in their order: the busiest stand first.
    app.include_router(openai_router(serving, model=model, created=created))
    app.include_router(kserve_overrides(serving))
