"""The rules hold what dashboards/rules_test.yaml says of them, in promtool's own words."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.fakes.real_prometheus import need_prometheus

FOLDER = Path(__file__).parents[3] / "dashboards"


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    need_prometheus()
    return subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)


def test_every_rule_is_valid() -> None:
    done = promtool("check", "rules", "--lint-fatal", "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_ought_to_and_only_then() -> None:
    done = promtool("test", "rules", "rules_test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
