"""The images of the chart: who runs in them, what, and that no second recipe installs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
CHART: Final = ROOT / "charts" / "kat-serving"
STAGES: Final = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, flags=re.MULTILINE | re.DOTALL))
PARTS: Final = ["operator", "metering", "predictor", "predictor-cpu"]


@pytest.mark.parametrize("part", PARTS)
def test_each_part_runs_as_the_user_of_the_chart(part: str) -> None:
    assert re.findall(r"^USER (.*)$", STAGES[part], flags=re.MULTILINE) == ["1000:1000"]


@pytest.mark.parametrize(
    "values", [CHART / "values.yaml", *sorted((CHART / "examples").glob("*.yaml"))], ids=lambda path: path.stem
)
def test_the_chart_asks_for_images_that_are_built(values: Path) -> None:
    asked = set(re.findall(r"repository: kat-serving/(\S+?)\}?$", values.read_text(), flags=re.MULTILINE))

    assert asked <= set(PARTS)


def test_dependencies_are_installed_by_the_one_script() -> None:
    commands = re.findall(r"\b(uv (?:sync|pip)|pip3? install|install\.sh (?:dependencies|project))\b", DOCKERFILE)

    assert set(commands) == {"install.sh dependencies", "install.sh project"}


def test_only_the_engine_that_compiles_at_run_time_has_a_compiler() -> None:
    assert [part for part in PARTS if re.search(r"\bgcc\b", STAGES[part])] == ["predictor"]


@pytest.mark.parametrize("part", ["base", *PARTS])
def test_no_build_tool_is_left_in_an_image(part: str) -> None:
    assert not re.search(r"\buv\b|COPY \. ", STAGES[part])


def test_it_installs_with_the_version_of_uv_that_everything_else_does() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (version,) = re.findall(r"^UV_VERSION := (\S+)$", makefile, flags=re.MULTILINE)

    assert f"FROM ghcr.io/astral-sh/uv:{version} AS uv\n" in DOCKERFILE
