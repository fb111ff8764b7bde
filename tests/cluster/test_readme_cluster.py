"""The README's section about a cluster, followed line by line on the cluster that it starts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.folders import database_folder
from tools.cluster import build
from tools.cluster.errors import Unavailable

pytestmark = pytest.mark.timeout(600)

ROOT: Final = Path(__file__).parents[2]
STOP_SECONDS: Final = 180
STEPS_SECONDS: Final = 360
CACHE: Final = {name: value for name, value in os.environ.items() if name == "KAT_CLUSTER_CACHE"}
"""Where the binaries are, if that was said."""
SECTION: Final = re.search(r"<!-- cluster -->(.*)<!-- end of cluster -->", (ROOT / "README.md").read_text(), re.DOTALL)
assert SECTION, "README.md marks its section about a cluster with two comments"
(START,), *STEPS = [block.splitlines() for block in re.findall(r"```bash\n(.*?)```", SECTION[1], re.DOTALL)]


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH without kubectl and Helm, so that the cluster brings its own; with what starts its processes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("setpriv", "openssl"):
        found = shutil.which(name)
        assert found, f"{name} is on every Debian"
        (folder / name).symlink_to(found)
    return str(folder)


@pytest.fixture
def told(bare_path: str, tmp_path: Path) -> Iterator[str]:
    """What `make cluster` prints to be exported, while that cluster runs."""
    try:
        build.binaries(*build.CONTROL_PLANE, *build.KSERVE, *build.FOR_PEOPLE)
    except Unavailable as reason:
        pytest.skip(f"NO CLUSTER TESTS: {reason}")
    # The last line is what make runs; those before it make the environment that this test runs in.
    recipe = subprocess.run(
        [*START.split(), "--dry-run", "--no-print-directory"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()[-1]
    with subprocess.Popen(
        ["/bin/bash", "-c", recipe],
        cwd=ROOT,
        env={"HOME": str(Path.home()), "PATH": bare_path, "TMPDIR": str(database_folder() or tmp_path), **CACHE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as cluster:
        assert cluster.stdout
        try:
            words = []
            for line in cluster.stdout:
                words.append(line)
                if "Ctrl-C stops" in line:
                    break
            else:
                pytest.fail("".join(words))
            yield "".join(line for line in words if line.startswith("  export "))
        finally:
            cluster.terminate()
            cluster.wait(STOP_SECONDS)


def test_every_line_of_the_section_succeeds(told: str, bare_path: str, tmp_path: Path) -> None:
    script = "\n".join([told, "trap 'kill $(jobs -p); wait' EXIT", *(line for block in STEPS for line in block)])
    # Ports that no other test has; the operator's own defaults are for a pod.
    ports = {"KAT_OPERATOR_PORT": "0", "KAT_OPERATOR_ACTIVATOR_PORT": "0"}
    done = subprocess.run(
        ["/bin/bash", "-euxo", "pipefail", "-c", script],
        cwd=ROOT, env={"HOME": str(tmp_path), "PATH": bare_path, **ports},
        capture_output=True, text=True, timeout=STEPS_SECONDS, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
