"""KServe's own routes and error handlers, as its server adds them behind ours."""

from __future__ import annotations

from fastapi import FastAPI

from kat_predictor.kserve_sdk import ModelServer  # first: it keeps KServe from reading pytest's command line
from kat_predictor.model import KatModel
from kat_predictor.serving import Serving

# isort: split
from kserve.protocol.rest.server import RESTServer


def mount_kserve(app: FastAPI, model: str, serving: Serving) -> None:
    server = ModelServer(enable_grpc=False)
    server.register_model(KatModel(model, serving))
    rest = RESTServer("unused:app", server.dataplane, server.model_repository_extension, http_port=8080)
    rest._register_endpoints(app)
    rest._add_exception_handlers(app)
