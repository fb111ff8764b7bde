"""One running platform for a session of tests, started as `kat up` starts it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kat.platform import Options, Platform
from tests.fakes.folders import database_folder
from tests.fakes.model_cache import MODELS


@pytest.fixture(scope="session")
def platform_env() -> dict[str, str]:
    """Settings for the parts that tests share: quick to notice changes, one model cache."""
    return {"KAT_MODEL_CACHE": str(MODELS), "KAT_DIRECTORY_REFRESH_SECONDS": "0.5"}


@pytest.fixture
def own_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty KAT_HOME of the test's own."""
    with tempfile.TemporaryDirectory(prefix="kat-e2e-", dir=database_folder()) as folder:
        monkeypatch.setenv("KAT_HOME", folder)
        yield Path(folder)


@pytest.fixture(scope="session")
def platform(platform_env: dict[str, str]) -> Iterator[Platform]:
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="kat-e2e-", dir=database_folder()) as folder,
    ):
        patch.setenv("KAT_HOME", folder)
        running = Platform(Options(predictor_port=0, metering_port=0, env=platform_env))
        try:
            running.start()
            yield running
        finally:
            running.stop()
