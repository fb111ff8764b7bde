"""The chart's alerts and dashboards: as they were written, where Prometheus' operator and Grafana's sidecar look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.__main__ import JSONS, RULES
from tests.fakes.helm import SECRETS, Helm

Manifest = dict[str, Any]
MOST_BYTES = 1024 * 1024
"""Of one ConfigMap."""


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    return Helm(tmp_path)


def rendered(helm: Helm, kind: str, **monitoring: Any) -> list[Manifest]:
    manifests = helm.render(values={**SECRETS, "monitoring": monitoring})
    return [each for each in manifests if each["kind"] == kind]


def alerts(groups: Manifest) -> list[Manifest]:
    return [rule for group in groups["groups"] for rule in group["rules"] if "alert" in rule]


def test_by_default_there_are_neither_rules_nor_dashboards(helm: Helm) -> None:
    kinds = {each["kind"] for each in helm.render(values=SECRETS)}

    assert not kinds & {"PrometheusRule", "ConfigMap"}


def test_the_rules_are_those_that_promtool_tested_templates_of_prometheus_and_all(helm: Helm) -> None:
    (rule,) = rendered(helm, "PrometheusRule", rules={"enabled": True})

    assert rule["spec"] == yaml.safe_load(RULES.read_text())


def test_runbooks_are_linked_where_they_are_published(helm: Helm) -> None:
    (rule,) = rendered(
        helm, "PrometheusRule", rules={"enabled": True}, runbookBaseUrl="https://docs.example/operations"
    )

    assert {each["annotations"]["runbook_url"] for each in alerts(rule["spec"])} == {
        f"https://docs.example/operations#{each['alert'].lower()}" for each in alerts(rule["spec"])
    }


def test_rules_have_the_labels_that_prometheus_selects_by(helm: Helm) -> None:
    (rule,) = rendered(helm, "PrometheusRule", rules={"enabled": True}, labels={"release": "prometheus"})

    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_every_dashboard_is_a_config_map_of_its_own(helm: Helm) -> None:
    maps = rendered(helm, "ConfigMap", dashboards={"enabled": True})

    found = [(name, json.loads(text)) for each in maps for name, text in each["data"].items()]
    assert len(maps) == len(found)
    assert sorted(found, key=str) == [(path.name, json.loads(path.read_text())) for path in sorted(JSONS.iterdir())]


def test_a_dashboard_is_no_larger_than_a_config_map_may_be(helm: Helm) -> None:
    maps = rendered(helm, "ConfigMap", dashboards={"enabled": True})

    assert max(len(text.encode()) for each in maps for text in each["data"].values()) < MOST_BYTES


def test_the_sidecar_finds_dashboards_by_its_usual_label(helm: Helm) -> None:
    maps = rendered(helm, "ConfigMap", dashboards={"enabled": True})

    assert {each["metadata"]["labels"]["grafana_dashboard"] for each in maps} == {"1"}
    assert {each["metadata"]["namespace"] for each in maps} == {"kat-system"}


def test_dashboards_go_into_the_folder_and_the_namespace_that_are_named(helm: Helm) -> None:
    maps = rendered(
        helm,
        "ConfigMap",
        dashboards={"enabled": True, "folder": "Models", "namespace": "monitoring", "annotations": {"a": "b"}},
    )

    assert [each["metadata"]["annotations"] for each in maps] == [{"a": "b", "grafana_folder": "Models"}] * len(maps)
    assert {each["metadata"]["namespace"] for each in maps} == {"monitoring"}
