"""An adapter as it is handed on: in peft's format, with its card and the options of its training."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from kat_predictor.engines.adapter import CONFIG, WEIGHTS, AdapterError, read_scale
from kat_training.errors import ModelError
from kat_training.model_card import model_card
from kat_training.run_folder import RUN

SMOLLM2: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The public name of what the default model is taught from."""
LARGEST_BYTES: Final = 10 * 10**6
_ADAPTER: Final = "adapter"


def package_adapter(runs: Sequence[Path], evaluation: Path, target: Path, *, base: str = SMOLLM2) -> Path:
    """Write the folder that the predictor's package holds; one that is there is replaced when the new one is whole.

    Args:
        runs: The folders of the training runs in their order; the last one's adapter is taken.
        evaluation: What `kat train eval --json` printed of it.
        target: The folder to write.
        base: The base model's public name, in place of a folder of this machine.

    Raises:
        ModelError: A run is not finished, a file is missing or damaged, the predictor could not merge the adapter, or
            the result is larger than 10 MB.
    """
    told = [_read(run / RUN) for run in runs]
    if unfinished := [str(run) for run, each in zip(runs, told, strict=True) if "seconds" not in each]:
        raise ModelError(f"not finished: {', '.join(unfinished)}")
    figures = _read(evaluation)
    adapter = runs[-1] / _ADAPTER
    new = target.with_name(f".{target.name}.unfinished")
    try:
        read_scale(adapter)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        shutil.copyfile(adapter / WEIGHTS, new / WEIGHTS)
        _write(new / CONFIG, _sorted(_read(adapter / CONFIG)) | {"base_model_name_or_path": base})
        _write(new / "training.json", {"base": base, "runs": [_without_places(each) for each in told]})
        (new / "README.md").write_text(model_card(base=base, runs=told, figures=figures), "utf-8")
        if (size := sum(file.stat().st_size for file in new.iterdir())) > LARGEST_BYTES:
            raise ModelError(f"the adapter takes {size / 10**6:.1f} MB, and may take {LARGEST_BYTES / 10**6:.0f}")
        shutil.rmtree(target, ignore_errors=True)
        new.rename(target)
    except AdapterError as error:
        raise ModelError(f"the predictor cannot use the adapter {adapter}: {error}") from error
    except KeyError as error:
        raise ModelError(f"{evaluation} is not what `kat train eval --json` prints: it has no {error}") from error
    except OSError as error:
        raise ModelError(f"{error.filename or target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return target


def _sorted(config: Mapping[str, Any]) -> dict[str, Any]:
    """Layers in an order: peft keeps them as a set, and the same adapter would be another file each time."""
    return {name: sorted(value) if name == "target_modules" else value for name, value in config.items()}


def _without_places(run: Mapping[str, Any]) -> dict[str, Any]:
    """Folders by their names alone: where they were on the machine is nobody's business."""
    asked = {name: _name(value) for name, value in run["asked"].items()}
    return {**run, "asked": asked}


def _name(value: object) -> object:
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _read(path: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise ModelError(f"{path} is damaged: {error}") from error
    return read


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_bytes(orjson.dumps(dict(value), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
