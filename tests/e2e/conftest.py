"""One running platform for a session of tests, started as `kat up` starts it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kat.platform import Options, Platform

MODELS = Path(os.environ.get("KAT_TEST_MODEL_CACHE") or Path.home() / ".cache/kat-serving-tests/models")
"""Converted checkpoints outlive the state folders of the tests."""


@pytest.fixture(scope="session")
def platform_env() -> dict[str, str]:
    """Settings for the parts that tests share: quick to notice changes, one model cache."""
    return {"KAT_MODEL_CACHE": str(MODELS), "KAT_DIRECTORY_REFRESH_SECONDS": "0.5"}


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, platform_env: dict[str, str]) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAT_HOME", str(tmp_path_factory.mktemp("kat-home")))
        running = Platform(Options(predictor_port=0, metering_port=0, env=platform_env))
        try:
            running.start()
            yield running
        finally:
            running.stop()
