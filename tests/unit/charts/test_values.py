"""values.schema.json is the chart's documentation: it knows and describes every value, and nothing that is none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

CHART: Final = Path(__file__).parents[3] / "charts" / "kat-serving"
SCHEMA: Final = json.loads((CHART / "values.schema.json").read_text())
VALUES: Final = yaml.safe_load((CHART / "values.yaml").read_text())


def resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in node:
        return node
    definition: Mapping[str, Any] = SCHEMA["definitions"][node["$ref"].removeprefix("#/definitions/")]
    return definition


def properties(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, told in resolved(node).get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, resolved(told)
        yield from properties(told, here)


def values(node: Mapping[str, Any], schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Paths of values, down to where the schema leaves off."""
    for name, value in node.items():
        here = f"{path}.{name}" if path else name
        yield here
        told = resolved(resolved(schema).get("properties", {}).get(name, {}))
        if isinstance(value, dict) and "properties" in told:
            yield from values(value, told, here)


PATHS: Final = dict(properties(SCHEMA))
# Kubernetes's own, which are empty unless they are set.
DEEPER: Final = (".resources.", "Peers", "Clients")


@pytest.mark.parametrize("path", sorted(PATHS))
def test_every_value_is_described(path: str) -> None:
    assert PATHS[path].get("description", "").endswith(".")


def test_every_object_refuses_what_it_does_not_know() -> None:
    open_ones = [
        path for path, node in PATHS.items() if "properties" in node and node.get("additionalProperties") is not False
    ]

    assert open_ones == []


def test_every_value_of_the_schema_has_its_default() -> None:
    known = {path for path in PATHS if path != "global" and not any(part in path for part in DEEPER)}

    assert known - set(values(VALUES, SCHEMA)) == set()
