"""Reads the signals out of a predictor's own exposition. Pure.

A predictor exposes hundreds of series beside ours, its engine's among them, and the library's parser takes longer for
each line than this takes for all of ours; the tests hold the two together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Final

from kat_operator.autoscaler.series import SOURCES, Series, Signal, Source

_LINE: Final = re.compile(r"^(kat_\w+)(?:\{(.*)\})? (\S+)", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def _by_metric() -> Mapping[str, list[tuple[Signal, Source]]]:
    by_metric: dict[str, list[tuple[Signal, Source]]] = {}
    for signal, source in SOURCES.items():
        by_metric.setdefault(source.metric, []).append((signal, source))
    return by_metric


_BY_METRIC: Final = _by_metric()


def samples_in(text: str) -> dict[Series, float]:
    """The signals in an exposition of Prometheus' text format, counters as they stand.

    Raises:
        ValueError: A value of ours is no number.
    """
    samples: dict[Series, float] = {}
    for name, inside, number in _LINE.findall(text):
        for signal, source in _BY_METRIC.get(name, ()):
            # The values of the labels looked at hold no character that would be escaped.
            labels = dict(_LABEL.findall(inside))
            value = float(number)
            if not isfinite(value) or any(labels.get(label) not in values for label, values in source.where.items()):
                continue
            series = Series(
                signal,
                labels.get("mode", "") if "mode" in source.by else "",
                float(labels["le"]) if "le" in source.by else float("inf"),
            )
            samples[series] = samples.get(series, 0.0) + value
    return samples
