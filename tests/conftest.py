"""The tier of a test is its folder: tests/unit, integration, cluster or e2e. Where CI runs them, none may be skipped."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
TIERS = {"unit", "integration", "cluster", "e2e"}
IN_CI = os.environ.get("CI") == "true"

# How long an example takes, to run or to draw, tells of the machine's load and not of what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        if tier not in TIERS:
            raise pytest.UsageError(f"{item.path}: a test belongs under tests/{{{','.join(sorted(TIERS))}}}")
        item.add_marker(tier)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IN_CI and report.skipped:
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    """What a developer's machine may lack, CI has: a skip there is a broken set-up that would go unnoticed."""
    report.outcome = "failed"
    report.longrepr = f"skipped in CI, where everything runs: {report.longrepr}"
