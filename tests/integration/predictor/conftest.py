"""The real bundled checkpoints, converted once per machine."""

from __future__ import annotations

from pathlib import Path

import pytest

import kat_predictor.engines  # noqa: F401 - before torch, which a test module may import on its own
from tests.fakes.model_cache import MODELS


@pytest.fixture(scope="session")
def default_model_path() -> Path:
    """Folder of the default model's checkpoint, which judges by itself."""
    # Torch takes seconds to import, which tests that need no model should not pay.
    from kat_predictor.engines.default_model import default_model  # noqa: PLC0415

    return default_model(MODELS)


@pytest.fixture(scope="session")
def base_model_path() -> Path:
    """Folder of a chat model's checkpoint without a judge of its own: what the default model was taught from."""
    from kat_predictor.engines.default_model import base_model  # noqa: PLC0415 - as above

    return base_model(MODELS)
