"""The tier of a test is its folder: tests/unit, tests/integration, tests/e2e."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TIERS = {"unit", "integration", "e2e"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        if tier not in TIERS:
            raise pytest.UsageError(f"{item.path}: a test belongs under tests/{{{','.join(sorted(TIERS))}}}")
        item.add_marker(tier)
