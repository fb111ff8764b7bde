"""A way to the API server that a test can break."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.way_to_api_server import Way, way_to_api_server
from tools.cluster.control_plane import ControlPlane


@pytest.fixture
def way(control_plane: ControlPlane, operator_kubeconfig: Path, tmp_path: Path) -> Iterator[Way]:
    """The operator's, for `make_operator(way.kubeconfig)`."""
    with way_to_api_server(operator_kubeconfig, control_plane.url, tmp_path) as way:
        yield way
