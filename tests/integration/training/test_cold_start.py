"""A cold start trains, goes on where it was interrupted, and ends in a model that serves with a judge of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from kat_training.adapter import load_adapter, merge
from kat_training.base_model import Base, load_base
from kat_training.cold_start import asked_for, cold_start
from kat_training.cold_start_plan import ColdStartPlan
from kat_training.corpus import CorpusPlan, make_corpus
from kat_training.curve import read_curve
from kat_training.errors import CorpusError, ModelError, RunError
from kat_training.run_folder import RunFolder
from tests.fakes.tiny_checkpoint import tiny_checkpoint
from tests.fakes.training_samples import SUM

PLAN = ColdStartPlan(steps=20, batch=4, rank=4, learning_rate=1e-2, max_length=1_024, save_every=5)
SAMPLES = [each for each in make_corpus(CorpusPlan(train=40, held_out=0)).samples if each.split == "train"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def run(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    out = tmp_path_factory.mktemp("run")
    trained(checkpoint, out)
    return out


def silent(_: str) -> None:
    """Nobody listens."""


def base_of(checkpoint: Path) -> Base:
    return load_base(str(checkpoint), models_dir=checkpoint)


def trained(checkpoint: Path, out: Path, *, progress: Callable[[str], None] = silent) -> Path:
    folder = RunFolder(out, asked_for(str(checkpoint), checkpoint, PLAN))
    return cold_start(base_of(checkpoint), SAMPLES, PLAN, folder, progress=progress)


class Interrupted(Exception):
    """What a test stops a run with."""


def test_the_loss_falls_in_twenty_steps(run: Path) -> None:
    losses = [point["loss"] for point in read_curve(run)]
    assert len(losses) == 2
    assert losses[1] < losses[0]


def test_an_interrupted_run_ends_as_one_that_was_not(checkpoint: Path, run: Path, tmp_path: Path) -> None:
    def interrupt(words: str) -> None:
        if words.startswith("step 10"):
            raise Interrupted

    with pytest.raises(Interrupted):
        trained(checkpoint, tmp_path, progress=interrupt)
    said: list[str] = []
    resumed = trained(checkpoint, tmp_path, progress=said.append)

    assert "going on from checkpoint-5" in said
    expected, found = (load_file(each / "adapter_model.safetensors") for each in (run / "adapter", resumed))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_folder_of_another_run_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    RunFolder(tmp_path, asked_for("default", checkpoint, PLAN))
    with pytest.raises(RunError, match="another seed"):
        RunFolder(tmp_path, asked_for("default", checkpoint, replace(PLAN, seed=1)))


def test_samples_that_are_all_too_long_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, max_length=10)
    folder = RunFolder(tmp_path, asked_for(str(checkpoint), checkpoint, plan))
    with pytest.raises(CorpusError, match="no sample of 1 fits into 10 tokens"):
        cold_start(base_of(checkpoint), [SUM], plan, folder, progress=silent)


def test_the_merged_model_computes_what_base_and_adapter_do_and_judges(
    checkpoint: Path, run: Path, tmp_path: Path
) -> None:
    target = merge(base_of(checkpoint), run / "adapter", tmp_path)

    tokenizer = AutoTokenizer.from_pretrained(target)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "?"}], add_generation_prompt=True, tokenize=False
    )
    assert str(prompt).endswith("<judge>\n")
    ids = torch.tensor([tokenizer.encode(str(prompt))])
    merged = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
    with torch.no_grad():
        expected = load_adapter(base_of(checkpoint), run / "adapter")(input_ids=ids).logits
        found = merged(input_ids=ids).logits
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)  # bfloat16


def test_a_damaged_adapter_is_refused(checkpoint: Path, run: Path, tmp_path: Path) -> None:
    adapter = Path(shutil.copytree(run / "adapter", tmp_path / "adapter"))
    (adapter / "adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="does not fit"):
        merge(base_of(checkpoint), adapter, tmp_path / "merged")


def test_a_tokenizer_that_cannot_end_a_turn_is_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path, special=("<pad>", "</s>"))
    with pytest.raises(ModelError, match=r"no <\|im_start\|> and no <\|im_end\|>"):
        load_base(str(folder), models_dir=tmp_path)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base(str(tmp_path), models_dir=tmp_path)
