"""What pygal draws, as SVG within a page: without the styles and scripts that it would bring along.

No script runs for a chart, and pages may forbid inline styles; the page's own style sheet colours charts as it colours
everything else, in dark mode and on paper too.
"""

from __future__ import annotations

import sys
from typing import Any, Final
from xml.etree import ElementTree as ET

import pygal

# For map plugins, which no chart of ours is, pygal puts a finder of a kind that Python warns of at every later import.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

_SVG: Final = "{http://www.w3.org/2000/svg}"
_KEPT: Final = {"g", "rect", "path", "text", "circle", "line"}
"""The elements that draw. Left out: comments, styles, scripts, and texts for them."""


def plain_svg(chart: Any, description: str) -> ET.Element:
    """The drawing of a pygal chart, with `description` for those who cannot see it."""
    # Parsed anew, because the tree itself is of one library or of another, by what is installed.
    root = ET.fromstring(chart.render())  # noqa: S314 - drawn in this line
    for parent in list(root.iter()):
        parent.tag = parent.tag.removeprefix(_SVG)
        for child in list(parent):
            if child.tag.removeprefix(_SVG) not in _KEPT:
                parent.remove(child)
        parent.attrib.pop("style", None)
    root.set("role", "img")
    root.set("aria-label", description)
    root.attrib.pop("id", None)
    return root


def series_in(root: ET.Element) -> dict[int, list[ET.Element]]:
    """The groups of a drawing that show its series, by the place at which a series was added to the chart."""
    found: dict[int, list[ET.Element]] = {}
    for group in root.iter("g"):
        classes = group.get("class", "").split()
        if "series" in classes:
            place = next(int(name.removeprefix("serie-")) for name in classes if name.startswith("serie-"))
            found.setdefault(place, []).append(group)
    return found
