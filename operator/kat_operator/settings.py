"""The operator's settings. The environment is read here and nowhere else."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AnyHttpUrl, BeforeValidator, Field, PositiveFloat, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from kat_operator.errors import SettingsError

_PREFIX: Final = "KAT_OPERATOR_"


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class Settings(BaseSettings):
    """What can be set, by environment variables `KAT_OPERATOR_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, env_ignore_empty=True, extra="ignore")

    kubeconfig: Annotated[
        Path | None,
        Field(description="How to reach the cluster. Without it: as the pod's own ServiceAccount."),
    ] = None
    namespaces: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_split),
        Field(
            description="Namespaces whose AutoThinkServices are served, separated by commas. Without it: all. Nodes, "
            "and the requests of all pods, are read in any case: what a pool has left depends on them."
        ),
    ] = ()
    predictor_image: Annotated[str, Field(min_length=1, description="Predictor image of services that name none.")] = (
        "kat-serving/predictor:latest"
    )
    image_pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"], Field(description="When nodes pull the predictor's image.")
    ] = "IfNotPresent"
    run_as_user: Annotated[
        PositiveInt | None,
        BeforeValidator(lambda value: None if value == "platform" else value),
        Field(
            description="User and group id of the predictors' processes. `platform` names none and leaves it to the "
            "cluster, as OpenShift wants it, where each namespace has ids of its own. Another value rolls all predictors."
        ),
    ] = 1_000
    prometheus_url: Annotated[
        AnyHttpUrl | None,
        Field(
            description="Prometheus that has the predictors' metrics. Without it, and while it is away, the pods' own "
            "`/metrics` are read."
        ),
    ] = None

    lease_name: Annotated[
        str, Field(min_length=1, max_length=253, description="Lease that decides which operator acts.")
    ] = "kat-operator"
    lease_namespace: Annotated[str, Field(min_length=1, max_length=63, description="Namespace of that Lease.")] = (
        "kat-system"
    )
    identity: Annotated[
        str | None,
        Field(min_length=1, description="This operator's name in the Lease. Without it: host name and process."),
    ] = None

    host: Annotated[str, Field(min_length=1, description="Address to listen on.")] = "0.0.0.0"
    port: Annotated[
        int, Field(ge=0, le=65_535, description="Port of `/metrics`, `/healthz` and `/readyz`; 0 takes a free one.")
    ] = 8_081
    activator_port: Annotated[
        int, Field(ge=0, le=65_535, description="Port that services without a replica are sent to; 0 takes a free one.")
    ] = 8_082
    activator_ip: Annotated[
        str | None,
        Field(
            description="Address at which pods reach the activator: the operator's own pod. Without it, a service at "
            "zero replicas refuses connections, and only its metrics or its spec bring it back."
        ),
    ] = None

    concurrency: Annotated[int, Field(ge=1, le=64, description="Services that are worked on at once.")] = 8
    backoff_seconds: Annotated[
        PositiveFloat, Field(description="Longest wait before a service is tried again that failed before.")
    ] = 60.0
    watch_idle_seconds: Annotated[
        PositiveFloat,
        Field(
            description="A watch that says nothing for so long is taken for dead, and what it watched is read anew. API "
            "servers send a bookmark about once a minute: a lower value reads anew without need."
        ),
    ] = 90.0

    @property
    def name(self) -> str:
        """This operator's name in the Lease."""
        return self.identity or f"{socket.gethostname()}_{os.getpid()}"


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: One line that names every setting that is missing or bad.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = (f"{_PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        raise SettingsError("; ".join(faults)) from None
