"""How many bits a weight and an element of the KV cache take."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from kat_predictor.plan.errors import CannotPlan

_FULL_BITS: Final = 16
_GROUP: Final = 128
"""Weights that share a scale, by AWQ's and GPTQ's default."""


class WeightPrecision(StrEnum):
    """How the linear layers of the blocks are kept; the rest stays at 16 bits."""

    BF16 = "bf16"
    FP8 = "fp8"
    INT4_AWQ = "int4-awq"
    INT4_GPTQ = "int4-gptq"

    @property
    def bits(self) -> float:
        """Bits of a quantised weight, its share of scale (16 bits a group) and zero point (4 bits a group) included."""
        match self:
            case WeightPrecision.BF16:
                return _FULL_BITS
            case WeightPrecision.FP8:
                return 8
            case WeightPrecision.INT4_AWQ | WeightPrecision.INT4_GPTQ:
                return 4 + (_FULL_BITS + 4) / _GROUP

    @property
    def group(self) -> int:
        """Weights of a row that cannot be parted between GPUs."""
        return _GROUP if self in {WeightPrecision.INT4_AWQ, WeightPrecision.INT4_GPTQ} else 1


class KvPrecision(StrEnum):
    """How the KV cache is kept."""

    BF16 = "bf16"
    FP8 = "fp8"

    @property
    def bytes(self) -> int:
        return 2 if self is KvPrecision.BF16 else 1


def weight_precision(quantisation: Mapping[str, Any] | None) -> WeightPrecision:
    """Read the `quantization_config` of a config.json; none means 16 bits.

    Raises:
        CannotPlan: The checkpoint is quantised in a way whose size does not follow from the shapes.
    """
    if quantisation is None:
        return WeightPrecision.BF16
    method, bits = quantisation.get("quant_method"), quantisation.get("bits")
    if quantisation.get("dynamic"):
        raise CannotPlan(
            "the checkpoint mixes precisions layer by layer; name the one that most layers have by --dtype"
        )
    match method, bits:
        case "awq", 4:
            precision = WeightPrecision.INT4_AWQ
        case "gptq", 4:
            precision = WeightPrecision.INT4_GPTQ
        case "fp8", _:
            return WeightPrecision.FP8
        case _:
            of_bits = f" with {bits} bits" if bits is not None else ""
            raise CannotPlan(
                f"weights quantised by {method!r}{of_bits} are not known here; name a precision by --dtype"
            )
    group = quantisation.get("group_size")
    if group != _GROUP:
        raise CannotPlan(f"the checkpoint shares scales among {group} weights; only groups of {_GROUP} are known here")
    return precision
