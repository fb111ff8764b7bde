"""`python -m tools.chart_package` puts the Helm chart into dist/, as the archive that registries and `helm install` take.

The same files make the same bytes, whoever packs them and when. The version, of the chart and of what it installs, is the
distribution's in pyproject.toml. Helm is the one in PATH, or else the one that tools/cluster builds.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Final

import click

from tools.cluster import build
from tools.cluster.errors import ClusterError

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "charts" / "kat-serving"
DIST: Final = ROOT / "dist"
_FILE_MODE: Final = 0o644


def version() -> str:
    """The distribution's."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def package(helm: Path, folder: Path) -> Path:
    """The chart's archive, written into `folder`, which is made. Raises CalledProcessError where Helm refuses."""
    with tempfile.TemporaryDirectory() as made:
        versions = ("--version", version(), "--app-version", version())
        subprocess.run(  # noqa: S603 - our own command
            [helm, "package", CHART, *versions, "--destination", made], check=True, stdout=subprocess.DEVNULL
        )
        (archive,) = Path(made).iterdir()
        folder.mkdir(parents=True, exist_ok=True)
        return _without_times(archive, folder / archive.name)


def _without_times(archive: Path, target: Path) -> Path:
    """The same files, without the times at which Helm wrote them, in one order."""
    with (
        tarfile.open(archive) as read,
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as written,
    ):
        for member in sorted(read.getmembers(), key=lambda member: member.name):
            entry = tarfile.TarInfo(member.name)
            entry.size, entry.mode = member.size, _FILE_MODE
            written.addfile(entry, read.extractfile(member))
    return target


def main() -> None:
    found = shutil.which("helm")
    try:
        helm = Path(found) if found else build.binaries("helm", say=click.echo)["helm"]
    except ClusterError as error:
        sys.exit(str(error))
    click.echo(package(helm, DIST).relative_to(ROOT))


if __name__ == "__main__":
    main()
