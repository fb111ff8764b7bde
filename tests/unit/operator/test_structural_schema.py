"""From types to what the API server takes as a schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, PositiveInt

from kat_operator.structural_schema import structural_schema


class _Inner(BaseModel):
    """Says what it is."""

    size: int = 3
    word: str | None = None


class _Outer(BaseModel):
    inner: Annotated[_Inner, Field(description="Says what it is for.")] = _Inner()
    needed: PositiveInt
    choice: Literal["a", "b"] = "a"
    labels: dict[str, str] = {}
    anything: dict[str, Any] = {}
    many: tuple[_Inner, ...] = ()


def properties() -> dict[str, Any]:
    found: dict[str, Any] = structural_schema(_Outer)["properties"]
    return found


def test_a_field_that_has_no_default_is_required() -> None:
    assert structural_schema(_Outer)["required"] == ["needed"]


def test_references_are_followed() -> None:
    assert set(properties()["inner"]["properties"]) == {"size", "word"}


def test_a_field_says_of_itself_what_goes_over_its_type() -> None:
    assert properties()["inner"]["description"] == "Says what it is for."


def test_a_field_that_may_be_null_is_one_that_may_be_left_out() -> None:
    assert properties()["inner"]["properties"]["word"] == {"type": "string"}


def test_a_default_of_an_object_is_told_in_full() -> None:
    assert properties()["inner"]["default"] == {"size": 3}


def test_exclusive_bounds_are_told_as_openapi_3_tells_them() -> None:
    assert properties()["needed"] == {"type": "integer", "minimum": 0, "exclusiveMinimum": True}


def test_choices_keep_their_type() -> None:
    assert properties()["choice"] == {"type": "string", "enum": ["a", "b"], "default": "a"}


def test_a_map_of_texts_says_so() -> None:
    assert properties()["labels"] == {"type": "object", "additionalProperties": {"type": "string"}, "default": {}}


def test_a_map_of_anything_keeps_what_it_holds() -> None:
    assert properties()["anything"]["x-kubernetes-preserve-unknown-fields"] is True


def test_items_of_a_list_have_a_schema() -> None:
    assert properties()["many"]["items"]["properties"]["size"] == {"type": "integer", "default": 3}


def test_a_union_of_types_is_refused_by_its_path() -> None:
    class Unsure(BaseModel):
        either: int | str = 1

    with pytest.raises(ValueError, match=r"Unsure\.either is a union"):
        structural_schema(Unsure)
