"""What the routes of the price book take as a body, for the OpenAPI document: they read it themselves, for its YAML."""

from __future__ import annotations

from typing import Any, Final

from kat_metering.prices import Price

YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml")


def _schema() -> dict[str, Any]:
    # What its fields refer to is in the document already: the price book itself is an answer.
    price = {
        name: value
        for name, value in Price.model_json_schema(ref_template="#/components/schemas/{model}").items()
        if name != "$defs"
    }
    file = {
        "type": "object",
        "properties": {
            "defaults": {"type": "object", "description": "Fields of every entry that does not have them."},
            "sources": {
                "type": "object",
                "additionalProperties": {"type": "object"},
                "description": "Fields by a name, which an entry gives in `from`.",
            },
            "prices": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["prices"],
        "additionalProperties": False,
    }
    return {"anyOf": [{"type": "array", "items": price}, price, file]}


PRICES_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {media_type: {"schema": _schema()} for media_type in ("application/json", YAML_TYPES[0])},
    }
}
