"""The definition of AutoThinkService, and how a stored one is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kat_operator.api import AutoThinkServiceSpec
from kat_operator.crd import RULES, custom_resource_definition, read_spec
from kat_operator.errors import InvalidSpec
from tests.fakes.service_manifests import manifest
from tools import crd as tool

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("autothinkservice*.yaml"))
VERSION: Mapping[str, Any] = custom_resource_definition()["spec"]["versions"][0]
SCHEMA: Mapping[str, Any] = VERSION["schema"]["openAPIV3Schema"]


def nodes(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema within a schema, with its path."""
    yield path, schema
    for name, value in schema.get("properties", {}).items():
        yield from nodes(value, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from nodes(schema[name], f"{path}[]")


def filled(schema: Mapping[str, Any], value: Any) -> Any:
    """A value with the defaults that the API server fills in."""
    if isinstance(value, list):
        return [filled(schema["items"], item) for item in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    known = schema["properties"]
    given = {**{name: inner["default"] for name, inner in known.items() if "default" in inner}, **value}
    return {name: filled(known[name], inner) for name, inner in given.items()}


def test_every_part_of_the_schema_has_one_type() -> None:
    assert [
        path for path, schema in nodes(SCHEMA) if "type" not in schema and "x-kubernetes-int-or-string" not in schema
    ] == []


def test_nothing_is_left_that_the_api_server_does_not_know() -> None:
    foreign = {"$ref", "$defs", "title", "const", "propertyNames", "examples"}
    assert [path for path, schema in nodes(SCHEMA) if foreign & schema.keys()] == []


def test_every_field_of_the_spec_is_described() -> None:
    spec = SCHEMA["properties"]["spec"]
    assert [
        path for path, schema in nodes(spec) if path and not path.endswith("[]") and not schema.get("description")
    ] == []


def test_every_list_says_how_it_is_merged() -> None:
    kinds = {
        path: schema.get("x-kubernetes-list-type") for path, schema in nodes(SCHEMA) if schema.get("type") == "array"
    }
    assert set(kinds.values()) == {"map", "atomic"}
    assert {path for path, kind in kinds.items() if kind == "map"} == {
        ".spec.pools",
        ".status.conditions",
        ".status.pools",
    }


@pytest.mark.parametrize("service", [manifest(), *(yaml.safe_load(path.read_text()) for path in EXAMPLES)])
def test_the_api_servers_defaults_are_our_own(service: Mapping[str, Any]) -> None:
    stored = {**service, "spec": filled(SCHEMA["properties"]["spec"], service["spec"])}
    assert read_spec(stored) == read_spec(service)


def test_a_status_has_no_defaults_which_nobody_wrote() -> None:
    assert [path for path, schema in nodes(SCHEMA["properties"]["status"]) if "default" in schema] == []


@pytest.mark.parametrize("path", ["specReplicasPath", "statusReplicasPath", "labelSelectorPath"])
def test_scaling_leads_to_fields_that_there_are(path: str) -> None:
    assert VERSION["subresources"]["scale"][path] in dict(nodes(SCHEMA))


def test_columns_show_fields_that_there_are() -> None:
    shown = {column["jsonPath"].partition("[")[0] for column in VERSION["additionalPrinterColumns"]}
    assert shown - dict(nodes(SCHEMA)).keys() == {".metadata.creationTimestamp"}


def test_the_list_shows_model_replicas_think_on_share_and_reason() -> None:
    columns = [column["name"] for column in VERSION["additionalPrinterColumns"] if not column.get("priority")]
    assert columns == ["Model", "Ready", "Desired", "Think-on", "Reason", "Age"]


def test_every_rule_says_in_one_line_what_is_wrong() -> None:
    rules = [rule for rules in RULES.values() for rule in rules]
    assert all(rule["message"] and "\n" not in rule["message"] and len(rule["message"]) <= 2_048 for rule in rules)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid(path: Path) -> None:
    assert isinstance(read_spec(yaml.safe_load(path.read_text())), AutoThinkServiceSpec)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pools": []}, "spec.pools: "),
        ({"pools": [{"name": "a"}]}, "spec.pools[0].gpusPerReplica: "),
        ({"replicas": {"min": 3, "max": 2}}, "spec.replicas.min is above"),
        ({"pools": [{"name": "a", "gpusPerReplica": 1}] * 2}, "two have one name"),
        ({"model": {"uri": "somewhere"}}, "spec.model.uri: "),
        ({"model": {"uri": "hf://a/b/"}}, "spec.model.uri: "),
        ({"metering": {"url": "http://m"}}, "spec.metering.serviceToken: "),
    ],
)
def test_a_stored_service_that_is_not_valid_names_the_field(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        read_spec(manifest(**change))
    assert said in str(refused.value)


def test_a_stored_service_without_a_spec_is_not_valid() -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.model"):
        read_spec({"metadata": {"name": "kat"}})


def test_names_that_are_too_long_together_are_refused() -> None:
    with pytest.raises(InvalidSpec, match="47"):
        read_spec(manifest(name="k" * 47))


def test_fields_of_a_newer_version_are_passed_over() -> None:
    assert read_spec(manifest(fromTheFuture=1)) == read_spec(manifest())


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ({"uri": "hf://Kwaipilot/KAT-V1-40B"}, "KAT-V1-40B"),
        ({"uri": "/opt/models/kat"}, "kat"),
        ({"uri": "default"}, "smollm2-135m"),
        ({"uri": "hf://Kwaipilot/KAT-V2", "name": "KAT-V1-40B"}, "KAT-V1-40B"),
    ],
)
def test_a_model_is_served_under_its_name_or_its_uris_last_part(model: dict[str, str], name: str) -> None:
    assert read_spec(manifest(model=model)).model.served_name == name


def test_cpu_may_be_written_as_a_number() -> None:
    assert read_spec(manifest(pools=[{"name": "a", "gpusPerReplica": 0, "cpu": 4}])).pools[0].cpu == "4"


def test_the_committed_manifest_is_fresh() -> None:
    assert tool.MANIFEST.read_text() == tool.manifest()


def test_the_committed_page_is_fresh() -> None:
    assert tool.PAGE.read_text() == tool.page()
