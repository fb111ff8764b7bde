"""The predictor's settings. The environment is read here and nowhere else."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AnyHttpUrl, BeforeValidator, Field, PositiveFloat, PositiveInt, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from kat.home import kat_home
from kat_predictor.engines.vllm_arguments import read_engine_arguments
from kat_predictor.errors import SettingsError

_PREFIX = "KAT_"
DEFAULT_MODEL = "default"
_DEFAULT_MODEL_NAME = "smollm2-135m"


class Settings(BaseSettings):
    """What can be set, by environment variables `KAT_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, env_ignore_empty=True, extra="ignore")

    model: Annotated[
        str,
        Field(
            min_length=1,
            description="Model to serve: a local folder, a Hugging Face hub id, `default` for the bundled SmolLM2-135M, "
            "which was taught to judge, or `smollm2-135m-instruct` for the chat model that it was taught from.",
        ),
    ] = DEFAULT_MODEL
    model_name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="Name under which the model is served, metered and priced. Without it: the last part of "
            f"the folder or hub id, `{_DEFAULT_MODEL_NAME}` for the bundled model.",
        ),
    ] = None
    engine: Annotated[
        Literal["auto", "transformers", "vllm"],
        Field(description="Inference engine; `auto` takes vLLM where it is installed."),
    ] = "auto"
    engine_args: Annotated[
        dict[str, Any],
        NoDecode,  # it may be a path, too
        BeforeValidator(lambda value: read_engine_arguments(value) if isinstance(value, str) else value),
        Field(
            default_factory=dict,
            description="vLLM's engine arguments, any of those that `vllm serve` takes, as a JSON object or the path "
            'of a file that holds one; for example `{"tensor_parallel_size": 2, "quantization": "fp8"}`.',
        ),
    ]
    model_cache: Annotated[
        Path | None,
        Field(description="Folder for checkpoints that were converted once. Without it: `models` in KAT_HOME."),
    ] = None
    trust_remote_code: Annotated[
        bool,
        Field(
            description="Run Python code that comes with the model. KAT-V1-40B needs none; turn it on only for "
            "code that you have read."
        ),
    ] = False
    max_model_len: Annotated[
        PositiveInt | None,
        Field(description="Prompt and completion tokens together, at most. Without it: what the model allows."),
    ] = None
    engine_stall_seconds: Annotated[
        PositiveFloat,
        Field(
            description="An engine that has work and finishes no step for so long counts as hung, and liveness fails. "
            "A step is one token of each running request, or a part of a prompt, however long that is."
        ),
    ] = 120.0
    judge: Annotated[
        Literal["auto", "native", "emulated"],
        Field(
            description="Who judges whether to think: `native` is a model that writes its own judge segment, as KAT "
            "does; `emulated` judges by the probabilities that any chat model gives to the two mode tags; `auto` "
            "tells them apart by the chat template."
        ),
    ] = "auto"
    think_budget: Annotated[
        int | None,
        Field(ge=0, description="Thinking tokens of a request, at most, where neither request nor tenant says less."),
    ] = None
    default_max_tokens: Annotated[
        PositiveInt, Field(description="Completion tokens of a request that does not say how many it wants.")
    ] = 1_024
    default_temperature: Annotated[
        float, Field(ge=0, le=2, description="Sampling temperature of a request that names none.")
    ] = 0.6
    default_top_p: Annotated[float, Field(gt=0, le=1, description="Nucleus of a request that names none.")] = 0.95

    host: Annotated[str, Field(min_length=1, description="Address to listen on.")] = "0.0.0.0"
    port: Annotated[int, Field(ge=1, le=65_535, description="Port to listen on.")] = 8_080
    instance: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="This predictor's name as the source of usage events. Without it: host name and port.",
        ),
    ] = None
    max_body_bytes: Annotated[PositiveInt, Field(description="Bytes of a request's body, at most.")] = 4 * 1024**2
    grace_seconds: Annotated[
        PositiveFloat,
        Field(
            description="Time that running requests get to end after SIGTERM, in seconds. The pod's "
            "terminationGracePeriodSeconds must be longer: the outbox is drained afterwards."
        ),
    ] = 60.0
    drain_seconds: Annotated[
        PositiveFloat,
        Field(
            description="Time that the outbox gets at the end to reach metering, in seconds; all of it is taken only while "
            "metering is away. What is left stays on disk for the next start: longer where the disk goes with the pod."
        ),
    ] = 10.0

    max_concurrent_requests: Annotated[PositiveInt, Field(description="Requests that run at once on this replica.")] = (
        32
    )
    max_queued_requests: Annotated[
        int, Field(ge=0, description="Requests that wait for a place; more are refused with 503.")
    ] = 128
    max_queued_tokens: Annotated[
        PositiveInt,
        Field(description="Tokens (prompt and max_tokens) of waiting requests together; more are refused with 503."),
    ] = 262_144

    tracing: Annotated[
        Literal["off", "otlp"],
        Field(
            description="`otlp`: a trace span for every request, sent over OTLP (HTTP, protobuf) to the collector that "
            "the standard variables `OTEL_EXPORTER_OTLP_*` name; all other standard `OTEL_*` variables hold, too."
        ),
    ] = "off"

    metering_url: Annotated[AnyHttpUrl, Field(description="Where metering listens.")] = AnyHttpUrl(
        "http://127.0.0.1:8090"
    )
    service_token: Annotated[
        SecretStr, Field(min_length=1, description="Token by which metering knows predictors. Required; a secret.")
    ]
    outbox_path: Annotated[
        Path | None,
        Field(
            description="Folder that keeps usage events until metering has acknowledged them; on a volume that "
            "outlives the container. Without it: `outbox` in KAT_HOME. The SQLite file of an earlier version is taken "
            "over."
        ),
    ] = None
    outbox_sync: Annotated[
        Literal["group", "commit"],
        Field(
            description="What a request's answer waits for: `group`, that its usage event survives the end of this "
            "process, the disk following within milliseconds; `commit`, that it is on the disk, too."
        ),
    ] = "group"
    outbox_max_events: Annotated[
        PositiveInt,
        Field(description="Usage events that the outbox holds (about 1 KiB each); once full, requests get 503."),
    ] = 100_000
    directory_path: Annotated[
        Path | None,
        Field(
            description="File that keeps the last tenant directory, for a start while metering is away. Without it: "
            "`directory.json` in KAT_HOME."
        ),
    ] = None
    directory_refresh_seconds: Annotated[
        PositiveFloat,
        Field(description="Time between two pulls of the tenant directory; how long a revoked key may still work."),
    ] = 5.0

    @property
    def served_name(self) -> str:
        """The model's name towards clients, metering and prices."""
        if self.model_name is not None:
            return self.model_name
        if self.model == DEFAULT_MODEL:
            return _DEFAULT_MODEL_NAME
        return Path(self.model).name or self.model

    @property
    def source(self) -> str:
        """This predictor's name as the source of usage events."""
        return self.instance or f"{socket.gethostname()}:{self.port}"

    @property
    def model_cache_folder(self) -> Path:
        """Where converted checkpoints are."""
        return self.model_cache or kat_home() / "models"

    @property
    def outbox_folder(self) -> Path:
        """Where the outbox is."""
        return self.outbox_path or kat_home() / "outbox"

    @property
    def directory_file(self) -> Path:
        """Where the copy of the tenant directory is."""
        return self.directory_path or kat_home() / "directory.json"


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: One line that names every setting that is missing or bad.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(fault["loc"], fault["msg"]) for fault in error.errors())) from None


def _explain(location: tuple[int | str, ...], message: str) -> str:
    # The value is left out on purpose: it may be a secret.
    name = _PREFIX + str(location[0]).upper()
    if message == "Field required":
        return f"{name} is not set"
    return f"{name}: {message[0].lower()}{message[1:]}"
