"""The real default model, converted once per machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import kat_predictor.engines  # noqa: F401 - before torch, which a test module may import on its own


@pytest.fixture(scope="session")
def default_model_path() -> Path:
    """Folder of the default model's checkpoint."""
    # Torch takes seconds to import, which tests that need no model should not pay.
    from kat_predictor.engines.default_model import default_model  # noqa: PLC0415

    cache = os.environ.get("KAT_TEST_MODEL_CACHE")
    return default_model(Path(cache) if cache else Path.home() / ".cache/kat-serving-tests/models")
