"""One version for all: what is packed, what it installs, and the distribution."""

from __future__ import annotations

import yaml

from tools.chart_package import CHART, version


def test_the_chart_is_of_the_distributions_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert (chart["version"], chart["appVersion"]) == (version(), version())
