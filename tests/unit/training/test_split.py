"""Templates are held out by group: some of each, never all, and never one in both splits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kat_training.catalogue import split_templates

unhurried = settings(deadline=None, max_examples=40)

GROUPS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3), st.integers(2, 9), min_size=1, max_size=5
).map(lambda sizes: {group: [f"{group}/{number}" for number in range(size)] for group, size in sizes.items()})  # fmt: skip


@unhurried
@given(groups=GROUPS, seed=st.integers(0, 99))
def test_each_group_has_templates_in_both_splits(groups: dict[str, list[str]], seed: int) -> None:
    split = split_templates(groups, seed=seed)
    assert all({split[name] for name in names} == {"train", "held_out"} for names in groups.values())


@unhurried
@given(groups=GROUPS, seed=st.integers(0, 99))
def test_the_order_of_names_does_not_matter(groups: dict[str, list[str]], seed: int) -> None:
    turned = {group: list(reversed(names)) for group, names in groups.items()}
    assert split_templates(turned, seed=seed) == split_templates(groups, seed=seed)


def test_a_group_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="no template to hold out"):
        split_templates({"lonely": ["lonely/0"]}, seed=0)
