"""What every rule has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.rules import rules

ROOT = Path(__file__).parents[3]
ALL = [rule for group in rules()["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in ALL if "alert" in rule]
RECORDS = [rule for rule in ALL if "record" in rule]
TESTS = yaml.safe_load((ROOT / "dashboards" / "rules_test.yaml").read_text())["tests"]
EACH_ALERT = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert['alert']}-{alert['for']}")


def expectations(alert: str) -> list[bool]:
    """Whether the tests expect it to fire, each time that they look."""
    return [
        alert in str(check["exp_samples"])
        for test in TESTS
        for check in test.get("promql_expr_test", [])
        if f'alertname="{alert}"' in check["expr"]
    ]


@EACH_ALERT
def test_an_alert_is_tested_both_firing_and_silent(alert: dict[str, Any]) -> None:
    assert set(expectations(alert["alert"])) == {True, False}


@EACH_ALERT
def test_an_alert_leads_to_what_to_do(alert: dict[str, Any]) -> None:
    page, anchor = alert["annotations"]["runbook_url"].split("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), flags=re.MULTILINE)
    assert anchor in [re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@EACH_ALERT
def test_an_alert_says_how_bad_it_is_and_what_it_is(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"].endswith((".", "}}"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["record"])
def test_what_is_recorded_is_named_by_level_metric_and_operations(record: dict[str, Any]) -> None:
    level, _, operations = record["record"].split(":")
    grouped = re.findall(r"\bby \(([^)]+)\)", record["expr"])
    assert all(set(level.split("_")) <= set(labels.split(", ")) for labels in grouped)
    windows = set(re.findall(r"\[(\w+)\]", record["expr"]))
    assert operations.endswith(f"rate{windows.pop()}" if windows else "max")
