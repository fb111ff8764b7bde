"""The archive that `make chart-package` makes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.fakes.helm import CHART, KUBERNETES, Helm
from tools import chart_package
from tools.cluster import build

SEVERAL_POOLS = CHART / "examples" / "several-pools.yaml"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return chart_package.package(build.binaries("helm")["helm"], tmp_path / "dist")


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    folder = tmp_path / "helm"
    folder.mkdir()
    return Helm(folder)


def test_the_same_files_make_the_same_archive(archive: Path, tmp_path: Path) -> None:
    again = chart_package.package(build.binaries("helm")["helm"], tmp_path / "again")

    assert (again.name, again.read_bytes()) == (archive.name, archive.read_bytes())


def test_it_is_of_the_distributions_version(archive: Path, helm: Helm) -> None:
    chart = yaml.safe_load(helm.run("show", "chart", archive))

    assert (archive.name, chart["version"], chart["appVersion"]) == (
        f"kat-serving-{chart_package.version()}.tgz",
        chart_package.version(),
        chart_package.version(),
    )


def test_it_installs_what_the_folder_does(archive: Path, helm: Helm) -> None:
    packed, folder = (
        helm.run("template", "kat", chart, "--kube-version", KUBERNETES, "--values", SEVERAL_POOLS)
        for chart in (archive, chart_package.CHART)
    )

    assert packed == folder


def test_it_brings_the_definition(archive: Path, helm: Helm) -> None:
    (crd,) = chart_package.CHART.glob("crds/*.yaml")

    assert yaml.safe_load(helm.run("show", "crds", archive)) == yaml.safe_load(crd.read_text())
