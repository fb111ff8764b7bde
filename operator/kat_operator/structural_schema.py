"""From a pydantic model to the structural OpenAPI v3 schema that a CustomResourceDefinition takes. Pure.

Pydantic speaks JSON Schema 2020-12. The API server knows less: no references, no `anyOf` with null, bounds as in OpenAPI
3.0, and types it cannot tell are marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

_KEPT: Final = (
    "description",
    "type",
    "format",
    "pattern",
    "enum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
)
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a model, by its aliases, with defaults in full and descriptions.

    Raises:
        ValueError: The model holds something that has no structural schema, such as a union of types.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(schema, schema.get("$defs", {}), model.__name__)


def _convert(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> dict[str, Any]:
    schema = _resolve(schema, definitions, path)
    converted: dict[str, Any] = {name: schema[name] for name in _KEPT if name in schema}
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in schema:
            converted |= {bound: schema[exclusive], exclusive: True}
    if schema.get(_INT_OR_STRING):
        converted |= {_INT_OR_STRING: True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    elif converted.get("type") == "array":
        converted["items"] = _convert(schema["items"], definitions, f"{path}[]")
    elif converted.get("type") == "object":
        _convert_object(schema, converted, definitions, path)
    elif "type" not in converted:
        raise ValueError(f"{path} has no one type")
    if "default" in schema and schema["default"] is not None:
        # Of an object the defaults in full: the API server judges a default before it fills it up.
        converted["default"] = _defaults(converted) if "properties" in converted else schema["default"]
    return converted


def _convert_object(
    schema: Mapping[str, Any], converted: dict[str, Any], definitions: Mapping[str, Any], path: str
) -> None:
    if "properties" in schema:
        converted["properties"] = {
            name: _convert(value, definitions, f"{path}.{name}") for name, value in schema["properties"].items()
        }
        if required := schema.get("required"):
            converted["required"] = required
    elif isinstance(values := schema.get("additionalProperties"), Mapping):
        converted["additionalProperties"] = _convert(values, definitions, f"{path}.*")
    else:
        converted[PRESERVE] = True


def _resolve(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Without references, and without null, which a field that may be left out has no need of."""
    resolved = dict(schema)
    if reference := resolved.pop("$ref", None):
        # What a field says of itself goes over what its type says.
        resolved = {**_resolve(definitions[reference.rpartition("/")[2]], definitions, path), **resolved}
    if _INT_OR_STRING not in resolved and (choices := resolved.pop("anyOf", None)):
        kept = [choice for choice in choices if choice.get("type") != "null"]
        if len(kept) != 1:
            raise ValueError(f"{path} is a union of types")
        resolved = {**_resolve(kept[0], definitions, path), **resolved}
    return resolved


def _defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value["default"] for name, value in schema["properties"].items() if "default" in value}
