"""The memory of GPUs, from data/gpus.toml."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt

from kat_predictor.plan.errors import CannotPlan

_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU."""

    name: str
    title: str
    total_bytes: int
    """As nvidia-smi reports it."""
    driver_bytes: int
    """What the driver keeps back."""
    fp8: Literal["native", "weights", "unknown"] = "unknown"
    """Whether it computes in FP8, or only keeps weights in it."""

    @property
    def visible_bytes(self) -> int:
        """What CUDA gives to a program; vLLM's `gpu_memory_utilization` is a share of this."""
        return self.total_bytes - self.driver_bytes


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str
    mib: PositiveInt
    fp8: Literal["native", "weights"]
    source: str


@cache
def known_gpus() -> dict[str, Gpu]:
    """The GPUs of the table, by name."""
    table = tomllib.loads(resources.files("kat_predictor").joinpath("data/gpus.toml").read_text("utf-8"))
    driver_bytes = table.pop("driver_mib") * _MIB
    entries = {name: _Entry.model_validate(row) for name, row in table.items()}
    return {name: Gpu(name, entry.title, entry.mib * _MIB, driver_bytes, entry.fp8) for name, entry in entries.items()}


def find_gpu(name: str) -> Gpu:
    """A GPU of the table, or any other as `NAME:GiB` with the memory that nvidia-smi reports.

    Raises:
        CannotPlan: Neither.
    """
    known = known_gpus()
    if name.lower() in known:
        return known[name.lower()]
    title, colon, gib = name.rpartition(":")
    driver_bytes = next(iter(known.values())).driver_bytes
    try:
        total_bytes = float(gib) * 1024**3 if colon and title else math.nan
    except ValueError:
        total_bytes = math.nan
    if not driver_bytes < total_bytes < math.inf:
        raise CannotPlan(f"GPU {name!r} is not known; name one of {', '.join(known)}, or give its memory as NAME:GiB")
    return Gpu(title.lower(), title, int(total_bytes), driver_bytes)
