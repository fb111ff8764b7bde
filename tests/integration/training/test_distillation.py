"""A student learns from a teacher's logits, goes on where it was interrupted, and ends in an ordinary checkpoint."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from kat_training import distillation
from kat_training.base_model import Base, load_base
from kat_training.cli import train
from kat_training.corpus import CorpusPlan, make_corpus
from kat_training.curve import read_curve
from kat_training.distillation import STUDENT, asked_for, compared, distil, fine_tune, tokenised
from kat_training.distillation_plan import DistillationPlan
from kat_training.errors import ModelError, RunError
from kat_training.mtp_heads import MTP_HEADS, load_heads
from kat_training.run_folder import RunFolder
from kat_training.store import write_corpus
from tests.fakes.tiny_checkpoint import CHATML, tiny_checkpoint

PLAN = DistillationPlan(heads=2, train_layers=1, steps=20, batch=4, learning_rate=1e-2, max_length=1_024, save_every=5)
SAMPLES = make_corpus(CorpusPlan(train=40, held_out=12)).samples
LEARNT = [each for each in SAMPLES if each.split == "train"]
HELD_OUT = [each for each in SAMPLES if each.split == "held_out"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def teacher(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base, fine-tuned in full."""
    out = tmp_path_factory.mktemp("teacher")
    student = loaded(base)
    plan = replace(PLAN, steps=30)
    fine_tune(student, tokenised(LEARNT, HELD_OUT, student, plan), plan, folder_of(base, out), progress=silent)
    return out / STUDENT


@pytest.fixture(scope="module")
def run(base: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a distillation that nothing interrupted."""
    out = tmp_path_factory.mktemp("run")
    distilled(base, teacher, out)
    return out


def silent(_: str) -> None:
    """Nobody listens."""


def loaded(checkpoint: Path) -> Base:
    return load_base(str(checkpoint), models_dir=checkpoint)


def folder_of(base: Path, out: Path) -> RunFolder:
    return RunFolder(out, asked_for("distillation", base=str(base), corpus=base, plan=PLAN))


def distilled(
    base: Path,
    teacher: Path,
    out: Path,
    *,
    plan: DistillationPlan = PLAN,
    progress: Callable[[str], None] = silent,
) -> None:
    student = loaded(base)
    examples = tokenised(LEARNT, HELD_OUT, student, plan)
    distil(student, loaded(teacher), examples, plan, folder_of(base, out), progress=progress)


class Interrupted(Exception):
    """What a test stops a run with."""


def test_the_loss_falls_in_twenty_steps(run: Path) -> None:
    losses = [point["loss"] for point in read_curve(run)]
    assert len(losses) == 2
    assert losses[1] < losses[0]


def test_the_student_does_better_on_what_it_never_saw_than_the_base(base: Path, run: Path) -> None:
    found = compared(folder_of(base, run), None)
    assert found.distilled.held_out.losses[0] < found.base.losses[0]
    assert len(found.distilled.held_out.losses) == 1 + PLAN.heads


def test_only_the_top_layers_are_trained(base: Path, run: Path) -> None:
    before = loaded(base).model.bfloat16().state_dict()
    after = loaded(run / STUDENT).model.bfloat16().state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    assert {name for name in changed if not name.startswith(("model.layers.1.", "model.norm."))} == set()


def test_the_student_is_an_ordinary_checkpoint_that_judges_with_its_heads_beside_it(run: Path) -> None:
    student = run / STUDENT
    fresh = AutoModelForCausalLM.from_pretrained(student).state_dict().keys() - {
        "lm_head.weight"
    }  # tied, so not stored
    assert load_file(student / "model.safetensors").keys() == fresh
    chat = [{"role": "user", "content": "?"}]
    prompt = AutoTokenizer.from_pretrained(student).apply_chat_template(
        chat, add_generation_prompt=True, tokenize=False
    )
    assert str(prompt).endswith("<judge>\n")
    assert len(load_heads(student)) == PLAN.heads


def test_an_interrupted_run_ends_as_one_that_was_not(base: Path, teacher: Path, run: Path, tmp_path: Path) -> None:
    def interrupt(words: str) -> None:
        if "step 10" in words:
            raise Interrupted

    with pytest.raises(Interrupted):
        distilled(base, teacher, tmp_path, progress=interrupt)
    said: list[str] = []
    distilled(base, teacher, tmp_path, progress=said.append)

    assert "Distillation: going on from checkpoint-5" in said
    for name in ("model.safetensors", MTP_HEADS):
        expected, found = (load_file(each / STUDENT / name) for each in (run, tmp_path))
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[key], found[key]) for key in expected), name


def test_a_teacher_with_another_vocabulary_is_refused(base: Path, tmp_path: Path) -> None:
    other = tiny_checkpoint(tmp_path / "other", special=("<|more|>", *CHATML))
    with pytest.raises(ModelError, match="has another vocabulary"):
        distilled(base, other, tmp_path / "run")


def test_more_layers_than_there_are_cannot_be_trained(base: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has 2 layers, so 3 cannot be trained"):
        distilled(base, teacher, tmp_path, plan=replace(PLAN, train_layers=3))


def test_a_full_disk_is_one_clear_error(
    base: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(distillation, "save_heads", no_space)
    with pytest.raises(RunError, match="cannot be written: No space left on device"):
        distilled(base, teacher, tmp_path, plan=replace(PLAN, steps=1))


def command(base: Path, teacher: Path, corpus: Path, out: Path) -> Result:
    options = {
        "corpus": corpus, "teacher": teacher, "out": out, "base": base, "heads": 1, "train-layers": 1,
        "steps": 2, "batch": 4, "learning-rate": 0.01, "max-length": 1_024,
    }  # fmt: skip
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return CliRunner().invoke(train, ["distil", *given, "--against-full", "--json"])


def test_the_command_measures_both_runs_and_does_no_finished_one_again(
    base: Path, teacher: Path, tmp_path: Path
) -> None:
    write_corpus(tmp_path / "corpus", SAMPLES, "card")
    first = command(base, teacher, tmp_path / "corpus", tmp_path / "run")
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert found["full"]["trainable_parameters"] > found["distilled"]["trainable_parameters"]
    assert isinstance(found["share_of_effect"], float)

    again = command(base, teacher, tmp_path / "corpus", tmp_path / "run")
    assert (again.stderr, json.loads(again.stdout)) == ("", found)
