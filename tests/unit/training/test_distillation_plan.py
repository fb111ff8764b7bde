"""A distilled student is compared with a fully fine-tuned one by what each took off the base's loss."""

from __future__ import annotations

import pytest

from kat_training.distillation_plan import Comparison, HeldOut, Trained, share_of_effect, table

BASE = HeldOut(losses=[3.0], accuracies=[0.25])
TEACHER = HeldOut(losses=[0.5], accuracies=[0.9])
DISTILLED = Trained(
    held_out=HeldOut(losses=[1.1, 2.0], accuracies=[0.75, 0.5]), trainable_parameters=45_000_000, seconds=61.7
)
FULL = Trained(held_out=HeldOut(losses=[1.0], accuracies=[0.8]), trainable_parameters=135_000_000, seconds=120.0)


@pytest.mark.parametrize(
    ("distilled", "full", "share"),
    [
        pytest.param(1.0, 1.0, 1.0, id="as good as full fine-tuning"),
        pytest.param(1.1, 1.0, 0.95, id="nearly as good"),
        pytest.param(0.5, 1.0, 1.25, id="better"),
        pytest.param(3.0, 1.0, 0.0, id="nothing learnt"),
        pytest.param(4.0, 1.0, -0.5, id="worse than the base"),
        pytest.param(1.0, 3.0, None, id="full fine-tuning took nothing off"),
    ],
)
def test_the_share_of_the_effect_is_of_what_full_fine_tuning_takes_off_the_base(
    distilled: float, full: float, share: float | None
) -> None:
    assert share_of_effect(3.0, distilled=distilled, full=full) == (None if share is None else pytest.approx(share))


def test_the_table_has_both_runs_side_by_side() -> None:
    assert table(Comparison(base=BASE, teacher=TEACHER, distilled=DISTILLED, full=FULL)) == [
        ("", "distilled", "full fine-tuning"),
        ("loss, next token", "1.1000", "1.0000"),
        ("accuracy, next token", "75.0%", "80.0%"),
        ("trainable parameters", "45,000,000", "135,000,000"),
        ("seconds", "62", "120"),
        ("loss, head 1", "2.0000", ""),
        ("accuracy, head 1", "50.0%", ""),
        ("loss of the base", "3.0000", ""),
        ("loss of the teacher", "0.5000", ""),
        ("share of full fine-tuning's effect", "95.0%", ""),
    ]


def test_without_full_fine_tuning_no_share_is_claimed() -> None:
    rows = table(Comparison(base=BASE, teacher=TEACHER, distilled=DISTILLED, full=None))
    assert [name for name, *_ in rows if "share" in name] == []
    assert ("loss, next token", "1.1000", "") in rows
