"""What Grafana makes of a dashboard's queries: variables and macros replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

DASHBOARDS = sorted((Path(__file__).parents[2] / "dashboards" / "grafana").glob("*.json"))


@dataclass(frozen=True)
class Query:
    dashboard: str
    panel: str
    target: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.dashboard}: {self.panel} ({self.target['refId']})"


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All but the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def queries(kind: str) -> Iterator[Query]:
    """Those of all dashboards to a kind of datasource: `prometheus`, or `grafana-postgresql-datasource`."""
    for path in DASHBOARDS:
        for panel in panels(load(path)):
            for target in panel["targets"]:
                if target["datasource"]["type"] == kind:
                    yield Query(path.stem, panel["title"], target)


def promql(expr: str, *, rate_interval: str) -> str:
    """With every namespace, model and service chosen."""
    found = expr.replace("$__rate_interval", rate_interval)
    return re.sub(r"\$(namespace|model|service)\b", ".*", found)


def sql(text: str, values: Mapping[str, list[str]], *, start: datetime, end: datetime) -> str:
    """Values are quoted as `:sqlstring` does; the times are those of the dashboard."""
    found = re.sub(r"\$__timeFilter\(([^)]+)\)", rf"\1 BETWEEN '{start.isoformat()}' AND '{end.isoformat()}'", text)
    for name, chosen in values.items():
        quoted = ",".join("'" + value.replace("'", "''") + "'" for value in chosen)
        found = found.replace(f"${{{name}:sqlstring}}", quoted)
    return found
