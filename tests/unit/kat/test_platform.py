"""What `kat up` tells its parts of each other."""

from pathlib import Path

import pytest

from kat.platform import Options, Platform


def test_the_consoles_playground_knows_the_predictor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Metering is told where the predictor will listen, though that starts later."""
    monkeypatch.setenv("KAT_HOME", str(tmp_path))
    platform = Platform(Options(predictor_port=0, metering_port=0))
    assert platform.metering.env["KAT_PREDICTOR_URL"] == platform.predictor_url
