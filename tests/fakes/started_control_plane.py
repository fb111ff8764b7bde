"""A control plane for tests, or the loud line that there is none."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.folders import database_folder
from tools.cluster.components import Options
from tools.cluster.control_plane import ControlPlane
from tools.cluster.errors import Unavailable

_DEFAULTS: Final = Options()


@contextmanager
def started_control_plane(options: Options = _DEFAULTS) -> Iterator[ControlPlane]:
    """Skips the test where the machine cannot have one."""
    folder = Path(tempfile.mkdtemp(prefix="kat-cluster-", dir=database_folder()))
    try:
        cluster = ControlPlane.start(folder, options=options)
    except Unavailable as reason:
        folder.rmdir()
        pytest.skip(f"NO CLUSTER TESTS: {reason}")
    with cluster:
        yield cluster
