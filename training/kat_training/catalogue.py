"""All families of problems, and which of their templates are held out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from kat_training import (
    families_arithmetic,
    families_code,
    families_facts,
    families_lists,
    families_stories,
    families_time,
)
from kat_training.family import Family
from kat_training.sample import Split

FAMILIES: Final[tuple[Family, ...]] = (
    *families_arithmetic.FAMILIES,
    *families_stories.FAMILIES,
    *families_time.FAMILIES,
    *families_lists.FAMILIES,
    *families_code.FAMILIES,
    *families_facts.FAMILIES,
)
_HELD_OUT_OF: Final = 4
"""One template in so many is held out, and one of each group at least."""


def split_templates(groups: Mapping[str, Sequence[str]], *, seed: int) -> dict[str, Split]:
    """Say for each template which split it is in: every group has templates in both.

    Args:
        groups: Names of templates by what they are variants of.
        seed: Another seed holds out others.

    Raises:
        ValueError: A group has fewer than two templates.
    """
    split: dict[str, Split] = {}
    for group, names in groups.items():
        if len(names) < 2:  # noqa: PLR2004 - one for each split
            raise ValueError(f"{group} has no template to hold out")
        # By hash, so that a template that is added or removed moves few of the others.
        ranked = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
        held_out = max(1, len(names) // _HELD_OUT_OF)
        for rank, name in enumerate(ranked):
            split[name] = "held_out" if rank < held_out else "train"
    return split
