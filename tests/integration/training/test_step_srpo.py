"""Step-SRPO goes on from a cold start's adapter, moves each token by its own advantage, and resumes where it stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from kat.usage_event import Mode
from kat_training.adapter import load_adapter, merged_for_sampling, save_adapter
from kat_training.base_model import Base, end_of_turn, load_base, lora_config
from kat_training.curve import read_curve
from kat_training.errors import CorpusError, ModelError
from kat_training.run_folder import RunFolder
from kat_training.step_srpo import asked_for, step_srpo
from kat_training.step_srpo_plan import RlPlan
from kat_training.step_srpo_trainer import StepSrpoTrainer
from tests.fakes.tiny_checkpoint import tiny_checkpoint
from tests.fakes.training_samples import CHAIN, SUM, never_run

PLAN = RlPlan(
    steps=2, prompts=2, group=4, learning_rate=1e-2, warmup=0.0, max_prompt=512, max_completion=8, save_every=1
)
SAMPLES = [SUM, CHAIN]
TURNS = [
    CHAIN.completion,
    SUM.completion,
    replace(CHAIN, answer="20").completion,
    replace(CHAIN, mode=Mode.OFF).completion,
]


class Interrupted(Exception):
    """What a test stops a run with."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapter(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapter_of(base_of(checkpoint), tmp_path_factory.mktemp("adapter"))


@pytest.fixture
def turns_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of random weights writes no turn: draw from some, as sampling does from the generator of the run."""

    def drawn(self: StepSrpoTrainer, prompt_ids: list[list[int]], *_: object) -> tuple[list[list[int]], None]:
        tokenizer = self._tokenizer
        # The first two of a group differ for certain.
        chosen = [at % 4 if at % 4 < 2 else int(torch.randint(4, (1,))) for at in range(len(prompt_ids))]
        return [
            [*tokenizer.encode(TURNS[turn], add_special_tokens=False), end_of_turn(tokenizer)] for turn in chosen
        ], None

    monkeypatch.setattr(StepSrpoTrainer, "_generate_single_turn", drawn)


def silent(_: str) -> None:
    """Nobody listens."""


def base_of(checkpoint: Path) -> Base:
    """In bfloat16, as the command loads it."""
    return load_base(str(checkpoint), models_dir=checkpoint, dtype=torch.bfloat16)


def adapter_of(base: Base, folder: Path) -> Path:
    torch.manual_seed(0)
    model = get_peft_model(base.model, lora_config(4))
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weights, std=0.02)
    return save_adapter(model, folder)


def trained(
    checkpoint: Path, adapter: Path, out: Path, *, plan: RlPlan = PLAN, progress: Callable[[str], None] = silent
) -> Path:
    folder = RunFolder(out, asked_for(str(checkpoint), adapter, checkpoint, plan))
    return step_srpo(base_of(checkpoint), adapter, SAMPLES, plan, folder, run_tests=never_run, progress=progress)


@pytest.mark.usefixtures("turns_that_differ")
def test_the_loss_gets_an_advantage_for_each_token_and_the_judge_s_differ_from_the_answer_s(
    checkpoint: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[dict[str, Tensor]] = []
    loss = StepSrpoTrainer._compute_loss

    def noted(self: StepSrpoTrainer, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        batches.append({name: inputs[name] for name in ("advantages", "completion_ids", "completion_mask")})
        return loss(self, model, inputs)

    monkeypatch.setattr(StepSrpoTrainer, "_compute_loss", noted)
    trained(checkpoint, adapter, tmp_path, plan=replace(PLAN, steps=1))

    assert len(batches) == PLAN.prompts
    for batch in batches:
        assert batch["advantages"].shape == batch["completion_ids"].shape
        assert batch["advantages"][batch["completion_mask"] == 0].eq(0).all()
        judge, last = batch["advantages"][:, 0], batch["completion_mask"].sum(dim=1) - 1
        assert judge.min() < judge.max()
        assert not torch.equal(judge, batch["advantages"].gather(1, last[:, None])[:, 0])


def test_the_likelihoods_of_the_tokens_are_those_of_trl(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    base = base_of(checkpoint)
    model = load_adapter(base, adapter, trainable=True)
    trainer = StepSrpoTrainer(
        model, base.tokenizer, SAMPLES, replace(PLAN, temperature=0.5),
        folder=RunFolder(tmp_path, {}), run_tests=never_run, callbacks=[],
    )  # fmt: skip
    ids = torch.randint(256, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, :2] = 0  # a shorter prompt
    mask[1, 9:] = 0  # a shorter completion
    mask[:, 0] = 0  # a longer prompt elsewhere
    mask[:, -1] = 0  # a longer completion elsewhere
    with torch.no_grad():
        found = trainer._get_per_token_logps_and_entropies(model, ids, mask, 6, compute_entropy=True)
        expected = super(StepSrpoTrainer, trainer)._get_per_token_logps_and_entropies(
            model, ids, mask, 6, compute_entropy=True
        )
    written = mask[:, -6:].bool()
    for ours, theirs in zip(found[:2], expected[:2], strict=True):
        assert ours is not None
        torch.testing.assert_close(ours[written], theirs[written], rtol=0.02, atol=0.02)  # bfloat16


@pytest.mark.usefixtures("turns_that_differ")
def test_an_interrupted_run_ends_as_one_that_was_not(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    def interrupt(words: str) -> None:
        if words.startswith("step 2"):
            raise Interrupted

    whole = trained(checkpoint, adapter, tmp_path / "whole")
    with pytest.raises(Interrupted):
        trained(checkpoint, adapter, tmp_path / "cut", progress=interrupt)
    said: list[str] = []
    resumed = trained(checkpoint, adapter, tmp_path / "cut", progress=said.append)

    assert "going on from checkpoint-1" in said
    before, expected, found = (load_file(each / "adapter_model.safetensors") for each in (adapter, whole, resumed))
    assert before.keys() == expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not all(torch.equal(before[name], expected[name]) for name in expected)


def test_a_run_samples_and_leaves_its_curve_and_its_plot(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    target = trained(checkpoint, adapter, tmp_path, plan=replace(PLAN, beta=0.1))

    points = read_curve(tmp_path)
    assert [point["step"] for point in points] == [1, 2]
    assert {"judge_reward", "answer_reward", "tokens", "think_on_share", "well_formed_share"} <= points[0].keys()
    assert (tmp_path / "curve.svg").read_bytes().startswith(b"<?xml")
    assert sorted(path.name for path in target.iterdir()) == sorted(path.name for path in adapter.iterdir())


def test_sampling_leaves_the_weights_as_they_were(checkpoint: Path, adapter: Path) -> None:
    model = load_adapter(base_of(checkpoint), adapter)
    before = {name: weights.clone() for name, weights in model.named_parameters()}
    with merged_for_sampling(model):
        assert any(not torch.equal(before[name], weights) for name, weights in model.named_parameters())
    assert all(torch.equal(before[name], weights) for name, weights in model.named_parameters())


def test_turns_that_all_earned_the_same_change_nothing(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    # Random weights write eight tokens and no turn: each is malformed and of one length.
    target = trained(checkpoint, adapter, tmp_path)
    before, found = (load_file(each / "adapter_model.safetensors") for each in (adapter, target))
    assert all(torch.equal(before[name], found[name]) for name in before)


def test_an_adapter_that_is_missing_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not fit"):
        trained(checkpoint, tmp_path / "none", tmp_path / "run")


def test_an_adapter_of_another_model_is_refused(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(checkpoint)
    config.intermediate_size *= 2
    shutil.copytree(checkpoint, tmp_path / "wider")
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call] # not typed there
    model.save_pretrained(tmp_path / "wider")
    with pytest.raises(ModelError, match="does not fit"):
        trained(tmp_path / "wider", adapter, tmp_path / "run")


def test_questions_that_are_all_too_long_are_refused(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="0 of 2 questions fit into 10 tokens"):
        trained(checkpoint, adapter, tmp_path, plan=replace(PLAN, max_prompt=10))
