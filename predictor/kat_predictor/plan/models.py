"""Finds the config of a model: a folder, a config.json, or a model of data/models."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from kat_predictor.plan.errors import CannotPlan
from kat_predictor.plan.hub_config import HubConfig, read_config
from kat_predictor.plan.precision import WeightPrecision, weight_precision


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be planned for."""

    name: str
    config: HubConfig
    kept_as: WeightPrecision | None = None
    """Precision of the checkpoint, where it is known without its config.json."""

    @property
    def weights(self) -> WeightPrecision:
        """Precision of the checkpoint.

        Raises:
            CannotPlan: It is quantised in a way that is not known here.
        """
        return self.kept_as or weight_precision(self.config.quantization_config)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str
    names: list[str]
    source: str
    quantised: dict[str, WeightPrecision] = {}
    config: dict[str, Any]


def find_model(model: str) -> Model:
    """Look a model up: a folder with a config.json, such a file, or the name of a model that is described here.

    Raises:
        CannotPlan: There is no such thing, or its architecture is not known here.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return _read(path / "config.json", name=path.resolve().name)
    if path.is_file():
        return _read(path, name=path.resolve().parent.name)
    known = []
    for entry in _entries():
        for name in entry.names:
            if name.lower() == model.lower():
                return Model(entry.title, read_config(entry.config))
        for name, precision in entry.quantised.items():
            if name.lower() == model.lower():
                return Model(name.rpartition("/")[2], read_config(entry.config), precision)
        known += [*entry.names, *entry.quantised]
    raise CannotPlan(
        f"{model!r} is neither a folder nor a config.json nor a model described here ({', '.join(known)}); "
        "download its config.json and name the file"
    )


def _read(path: Path, *, name: str) -> Model:
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        raise CannotPlan(f"{path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise CannotPlan(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise CannotPlan(f"{path} holds no JSON object")
    return Model(name, read_config(content))


def _entries() -> Iterator[_Entry]:
    folder = resources.files("kat_predictor").joinpath("data/models")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        yield _Entry.model_validate(tomllib.loads(file.read_text("utf-8")))
