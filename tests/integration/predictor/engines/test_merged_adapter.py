"""A merged checkpoint has the weights that peft's own merge makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from kat_predictor.engines.adapter import merge_adapter

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SMALL = LlamaConfig(
    vocab_size=64,
    hidden_size=48,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=2,
    tie_word_embeddings=True,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of SmolLM2's make, random."""
    folder = tmp_path_factory.mktemp("llama") / "base"
    torch.manual_seed(1)
    LlamaForCausalLM(SMALL).bfloat16().save_pretrained(folder)  # type: ignore[no-untyped-call] # not typed there
    return folder


def write_adapter(base: Path, folder: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    """Random factors, as large as the weights, on every linear layer, as peft writes them."""
    torch.manual_seed(2)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=LAYERS, task_type="CAUSAL_LM")
    model = get_peft_model(load(base, torch.float32), config)
    for name, factor in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(factor, std=0.1)
    model.to(dtype).save_pretrained(str(folder))
    return folder


def load(checkpoint: Path, dtype: torch.dtype) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype)
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_every_weight_is_pefts_up_to_rounding(base: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    adapter = write_adapter(base, tmp_path / "adapter", dtype)
    plain = load(base, torch.float32).state_dict()
    by_peft = PeftModel.from_pretrained(load(base, torch.float32), str(adapter)).merge_and_unload().state_dict()

    merge_adapter(base, adapter, tmp_path / "merged")
    merged = load(tmp_path / "merged", torch.bfloat16).state_dict()

    assert merged.keys() == by_peft.keys()
    changed = {name for name in merged if not torch.equal(by_peft[name], plain[name])}
    assert len(changed) == SMALL.num_hidden_layers * len(LAYERS)
    for name, weight in merged.items():
        # Half a step of bfloat16, and a little for sums that are added up in another order.
        torch.testing.assert_close(weight.float(), by_peft[name], rtol=2**-8, atol=1e-6, msg=name)


MERGE = """
import resource, sys
from pathlib import Path
from safetensors import SafetensorError
from kat_predictor.engines.adapter import merge_adapter

limit, *folders = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    merge_adapter(*map(Path, folders))
except (OSError, SafetensorError) as error:
    sys.exit(str(error))
"""


def test_a_disk_that_ends_within_the_weights_is_an_error_that_says_so(base: Path, tmp_path: Path) -> None:
    """In a process of its own, whose files may be no longer than half of the weights."""
    adapter = write_adapter(base, tmp_path / "adapter")
    half = (base / "model.safetensors").stat().st_size // 2

    done = subprocess.run(
        [sys.executable, "-c", MERGE, str(half), base, adapter, tmp_path / "merged"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
    assert "File too large" in done.stderr
