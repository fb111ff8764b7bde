"""What is as it was meant to be, and what is not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_operator.drift import Applied, drift
from kat_operator.kinds import INFERENCE_SERVICE, Key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def body(version: str = "1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"namespace": "default", "name": "kat-h100", "resourceVersion": version},
        "spec": spec,
    }


def wanted(**spec: Any) -> dict[str, Any]:
    desired = body(**spec)
    del desired["metadata"]["resourceVersion"]
    return desired


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, id="what is not mentioned may be anything"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 1, "c": {}}}, id="at any depth"),
        pytest.param({"cpu": "4000m"}, {"cpu": "4"}, id="quantities are compared by value"),
        pytest.param({"memory": "32Gi"}, {"memory": "34359738368"}, id="in whatever unit"),
        pytest.param({"gpus": "1"}, {"gpus": 1}, id="or as a number"),
        pytest.param({"labels": {}}, {}, id="what is empty is dropped by the API server"),
        pytest.param({"volumes": []}, {}, id="so are empty lists"),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]},
            id="named items are found by name, and others may have been added",
        ),
        pytest.param({"kind": "Service", "apiVersion": "v1"}, {}, id="items of a list come without their kind"),
    ],
)
def test_these_are_as_they_were_meant(desired: dict[str, Any], live: dict[str, Any]) -> None:
    assert drift(desired, live) == frozenset()


@pytest.mark.parametrize(
    ("desired", "live", "where"),
    [
        pytest.param({"a": 1}, {"a": 2}, "a", id="another value"),
        pytest.param({"a": {"b": 1}}, {"a": {}}, "a.b", id="one that is missing"),
        pytest.param({"a": {"b": 1}}, {}, "a", id="a whole part that is missing"),
        pytest.param({"cpu": "4"}, {"cpu": "5"}, "cpu", id="another quantity"),
        pytest.param({"on": True}, {"on": 1}, "on", id="a truth is no number"),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "value": "2"}]},
            "env[A].value",
            id="a named item's value",
        ),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "B"}]}, "env[A]", id="a named item that is gone"
        ),
        pytest.param({"ports": [1, 2]}, {"ports": [1]}, "ports", id="a shorter list"),
        pytest.param({"ports": [{"port": 1}]}, {"ports": [{"port": 2}]}, "ports[0].port", id="an item by its place"),
    ],
)
def test_these_have_drifted(desired: dict[str, Any], live: dict[str, Any], where: str) -> None:
    assert drift(desired, live) == {where}


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_nothing_has_drifted_from_itself(desired: dict[str, Any]) -> None:
    assert drift(desired, desired) == frozenset()


def test_what_is_not_there_has_to_be_applied() -> None:
    assert Applied().wanting(wanted(a=1), None)


def test_what_this_process_has_not_applied_yet_is_applied_whatever_is_there() -> None:
    assert Applied().wanting(wanted(a=1), body(a=1))


def test_what_was_applied_and_is_still_so_is_not_applied_again() -> None:
    applied = Applied()
    applied.record(wanted(a=1), body(a=1))

    assert not applied.wanting(wanted(a=1), body("2", a=1, b=2))


def test_what_somebody_changed_is_applied_again() -> None:
    applied = Applied()
    applied.record(wanted(a=1), body(a=1))

    assert applied.wanting(wanted(a=1), body("2", a=7))


def test_what_ought_to_be_otherwise_now_is_applied_even_where_less_is_asked_for() -> None:
    applied = Applied()
    applied.record(wanted(a=1, b=2), body(a=1, b=2))

    assert applied.wanting(wanted(a=1), body(a=1, b=2))


def test_what_a_webhook_insists_on_is_told_and_not_fought_over() -> None:
    applied = Applied()
    desired = wanted(a=1, b=2)

    assert applied.record(desired, body(a=1, b=9)) == {"spec.b"}
    assert not applied.wanting(desired, body("2", a=1, b=9))
    assert applied.wanting(desired, body("3", a=5, b=9))


def test_what_was_deleted_and_made_anew_is_applied_again() -> None:
    applied = Applied()
    applied.record(wanted(a=1), body(a=1))
    applied.forget(INFERENCE_SERVICE, Key("default", "kat-h100"))

    assert applied.wanting(wanted(a=1), body("9", a=1))
