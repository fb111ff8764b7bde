"""Whether the engine can give an answer the form that is asked of it: known before anything is counted or generated."""

from __future__ import annotations

import asyncio

from kat_predictor.engines.base import Engine
from kat_predictor.errors import InvalidRequest
from kat_predictor.job import Job


async def check_answer_form(job: Job, engine: Engine) -> None:
    """Refuse a form that the engine cannot hold the answer to.

    Raises:
        InvalidRequest: The engine knows no forms, or cannot make a grammar of this schema.
    """
    if job.json_schema is None:
        return
    if not engine.supports_json_schema:
        raise InvalidRequest(
            "'response_format' can only be \"text\" here: this server's engine cannot hold an answer to a JSON schema. "
            "The vLLM engine can (KAT_ENGINE=vllm).",
            param="response_format",
        )
    try:
        # A large schema takes long enough to be felt by running streams.
        await asyncio.to_thread(engine.check_json_schema, job.json_schema)
    except ValueError as error:
        raise InvalidRequest(
            f"The JSON schema cannot be used: {error}.", param="response_format.json_schema.schema"
        ) from error
