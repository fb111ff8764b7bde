"""`response_format`: the form that an answer is to have, as OpenAI's API words it.

The schema itself is judged by the engine, which knows its grammar. Here it is only kept from costing more than it may:
a grammar is made from it before anything is generated, and some of its words make that grow without a bound.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from kat_predictor.errors import InvalidRequest

PARAM: Final = "response_format"
SCHEMA_PARAM: Final = "response_format.json_schema.schema"
MAX_SCHEMA_BYTES: Final = 32 * 1024
MAX_SCHEMA_DEPTH: Final = 64
MAX_SCHEMA_ITEMS: Final = 5_000
"""All `minItems` and `maxItems` together: the guidance backend writes out each of these items, at about a kilobyte."""

_ANY_OBJECT: Final = '{"type":"object"}'
_WRITTEN_OUT: Final = ("minItems", "maxItems")


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class JsonSchema(_Part):
    """A named schema. The output is held to it whether or not it is `strict`; name and description change nothing."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    definition: Annotated[dict[str, Any], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(_Part):
    """The form of the answer; thoughts have none."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def schema_text(self) -> str | None:
        """The schema that the answer has to obey, as JSON; None for plain text.

        Raises:
            InvalidRequest: The schema is missing, or larger than this server takes.
        """
        match self.type:
            case "text":
                return None
            case "json_object":
                return _ANY_OBJECT
            case "json_schema":
                if self.json_schema is None:
                    raise InvalidRequest("'response_format.json_schema' is missing.", param=f"{PARAM}.json_schema")
                return _bounded(self.json_schema.definition)


def _bounded(schema: dict[str, Any]) -> str:
    items = 0.0
    level: list[object] = [schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                items += sum(bound for word in _WRITTEN_OUT if isinstance(bound := value.get(word), (int, float)))
                below += value.values()
            elif isinstance(value, list):
                below += value
        level = below
    if level:
        raise _too_large(f"nests more than {MAX_SCHEMA_DEPTH} levels deep")
    if items > MAX_SCHEMA_ITEMS:
        raise _too_large(f"has a 'minItems' or 'maxItems' that is too large: together at most {MAX_SCHEMA_ITEMS}")
    text = orjson.dumps(schema)
    if len(text) > MAX_SCHEMA_BYTES:
        raise _too_large(f"has {len(text)} bytes, of at most {MAX_SCHEMA_BYTES}")
    return text.decode()


def _too_large(what: str) -> InvalidRequest:
    return InvalidRequest(f"The schema {what}.", param=SCHEMA_PARAM)
