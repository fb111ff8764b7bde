"""Where the bundled models' checkpoints are kept from one run of the tests to the next: each takes long to convert."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MODELS: Final = Path(os.environ.get("KAT_TEST_MODEL_CACHE") or Path.home() / ".cache/kat-serving-tests/models")
