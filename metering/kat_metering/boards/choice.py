"""What the reader chose, put into the queries as Grafana puts it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from kat_metering.boards.definitions import Variable
from kat_metering.boards.window import Window

Chosen = Mapping[str, Sequence[str]]
"""Values by the variable's name."""


def promql(query: str, variables: Sequence[Variable], chosen: Chosen, window: Window) -> str:
    """The query with every `$name` replaced by a regular expression that matches what is chosen.

    What is not chosen by name is everything: also series without such a label.
    """
    found = query.replace("$__rate_interval", window.rate_interval)
    for variable in variables:
        names = chosen.get(variable.name, ())
        # A regular expression within a string: a backslash of the one is two in the other.
        pattern = "|".join(re.escape(name).replace("\\", "\\\\").replace('"', '\\"') for name in names)
        found = _replaced(found, variable.name, pattern or variable.everything or ".*")
    return found


def sql(query: str, chosen: Chosen, window: Window) -> str:
    """The query with times, and every `${name:sqlstring}` replaced by quoted values; by NULL where there are none."""
    between = f"BETWEEN '{window.start.isoformat()}' AND '{window.end.isoformat()}'"
    found = re.sub(r"\$__timeFilter\(([^)]+)\)", lambda match: f"{match[1]} {between}", query)
    quoted = {
        name: ",".join("'" + value.replace("'", "''") + "'" for value in values) or "NULL"
        for name, values in chosen.items()
    }
    # At once: a value that looks like a variable is none.
    return re.sub(r"\$\{(\w+):sqlstring\}", lambda match: quoted[match[1]], found)


def words(text: str, chosen: Chosen) -> str:
    """A title or a description, with the names that it has variables for."""
    for name, values in chosen.items():
        text = _replaced(text, name, ", ".join(values) or "none")
    return text


def _replaced(text: str, name: str, value: str) -> str:
    return re.sub(rf"\$(?:{name}\b|\{{{name}\}})", lambda _: value, text)
