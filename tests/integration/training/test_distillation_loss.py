"""What each head is to predict, whose opinion it learns it from, and how far it is off."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kat_training.distillation_loss import (
    NOT_LEARNT,
    joined,
    label_loss,
    mixed,
    predicting,
    soft_loss,
    targets,
    taught_rows,
)

_ = NOT_LEARNT
# Two completions behind prompts of two and one tokens; the second is padded.
LABELS = torch.tensor([[_, _, 10, 11, 12, 13], [_, 20, 21, _, _, _]])


@pytest.mark.parametrize(
    ("ahead", "positions"),
    [
        pytest.param(0, [(0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1)], id="from the prompt's last token"),
        pytest.param(1, [(0, 1), (0, 2), (0, 3), (1, 0)], id="one position less a completion"),
        pytest.param(3, [(0, 1)], id="short completions drop out"),
        pytest.param(9, [], id="longer than all"),
    ],
)
def test_a_head_predicts_where_the_model_writes_and_the_completion_goes_on(
    ahead: int, positions: list[tuple[int, int]]
) -> None:
    assert predicting(LABELS, ahead).nonzero().tolist() == [list(each) for each in positions]


@pytest.mark.parametrize(
    ("ahead", "wanted"), [(0, [10, 11, 12, 13, 20, 21]), (1, [11, 12, 13, 21]), (2, [12, 13]), (9, [])]
)
def test_a_head_is_to_say_the_token_that_many_behind_the_next(ahead: int, wanted: list[int]) -> None:
    assert targets(LABELS, ahead).tolist() == wanted


@st.composite
def labels(draw: st.DrawFn) -> Tensor:
    """Rows of a prompt, a completion of distinct tokens, and padding."""
    rows = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6)), min_size=1, max_size=4))
    length = max(prompt + completion for prompt, completion in rows) + draw(st.integers(0, 2))
    made = torch.full((len(rows), length), NOT_LEARNT)
    for number, (prompt, completion) in enumerate(rows):
        made[number, prompt : prompt + completion] = 100 * number + torch.arange(completion)
    return made


@given(labels(), st.integers(0, 7))
def test_the_soft_target_is_the_teachers_opinion_on_that_same_token(made: Tensor, ahead: int) -> None:
    next_tokens = targets(made, 0)
    assert next_tokens[taught_rows(made, ahead)].tolist() == targets(made, ahead).tolist()


@given(labels(), st.integers(0, 7))
def test_a_completion_of_n_tokens_has_n_less_ahead_predictions(made: Tensor, ahead: int) -> None:
    lengths = (made != NOT_LEARNT).sum(dim=1)
    assert predicting(made, ahead).sum(dim=1).tolist() == (lengths - ahead).clamp(min=0).tolist()


LOGITS = st.lists(
    st.lists(st.floats(-20, 20, width=32), min_size=5, max_size=5), min_size=1, max_size=4
).map(torch.tensor)  # fmt: skip
TEMPERATURES = st.floats(0.5, 8)


@given(LOGITS, TEMPERATURES)
def test_a_student_that_agrees_has_nothing_to_learn(logits: Tensor, temperature: float) -> None:
    assert soft_loss(logits, logits, temperature).item() == pytest.approx(0, abs=1e-4)


@given(LOGITS, TEMPERATURES, st.integers(0, 2**31))
def test_disagreement_is_never_negative(logits: Tensor, temperature: float, seed: int) -> None:
    other = torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))
    assert soft_loss(logits, other, temperature).item() >= -1e-3


@given(LOGITS, st.floats(-5, 5))
def test_only_probabilities_count_and_not_the_level_of_the_logits(logits: Tensor, level: float) -> None:
    other = torch.zeros_like(logits)
    torch.testing.assert_close(
        soft_loss(logits + level, other, 2.0), soft_loss(logits, other, 2.0), atol=1e-3, rtol=1e-3
    )


def test_the_soft_loss_is_the_divergence_from_the_teacher_a_position() -> None:
    teacher = torch.tensor([[0.75, 0.25], [0.5, 0.5]]).log()
    student = torch.tensor([[0.5, 0.5], [0.5, 0.5]]).log()
    expected = (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)) / 2
    assert soft_loss(student, teacher, 1.0).item() == pytest.approx(expected, rel=1e-5)


def test_the_temperature_leaves_the_gradient_its_size() -> None:
    def steepness(temperature: float) -> float:
        student = torch.zeros(1, 3, requires_grad=True)
        loss = soft_loss(student, torch.tensor([[0.02, 0.0, -0.02]]), temperature)
        (slope,) = torch.autograd.grad(loss, student)
        return float(slope.norm())

    assert steepness(8.0) == pytest.approx(steepness(1.0), rel=0.05)


def test_the_teacher_gets_no_gradient() -> None:
    teacher = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    student = torch.zeros(2, 3, requires_grad=True)
    slopes = torch.autograd.grad(soft_loss(student, teacher, 2.0), [student, teacher], allow_unused=True)
    assert [slope is None for slope in slopes] == [False, True]


def test_the_label_loss_is_the_surprise_a_token() -> None:
    logits = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
    assert label_loss(logits, torch.tensor([0, 1])).item() == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2)


def test_a_head_that_looks_past_every_completion_learns_nothing() -> None:
    none, nobody = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    assert (soft_loss(none, none, 2.0).item(), label_loss(none, nobody).item()) == (0.0, 0.0)


@pytest.mark.parametrize(("soft_share", "expected"), [(0.0, 5.0), (1.0, 3.0), (0.25, 4.5)])
def test_soft_and_hard_targets_are_mixed_by_share(soft_share: float, expected: float) -> None:
    assert mixed(torch.tensor(3.0), torch.tensor(5.0), soft_share).item() == expected


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        pytest.param([2.0], 2.0, id="no heads"),
        pytest.param([2.0, 4.0], 4.0, id="one head"),
        pytest.param([2.0, 4.0, 8.0], 5.0, id="the heads' mean"),
    ],
)
def test_the_heads_count_by_their_mean_beside_the_next_token(losses: list[float], expected: float) -> None:
    assert joined([torch.tensor(each) for each in losses], 0.5).item() == expected
