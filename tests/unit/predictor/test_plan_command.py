"""`kat plan` answers for any config.json, and refuses in one line what it cannot reckon."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from kat_predictor.cli_plan import plan

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(plan, arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "my-llama"
    path.mkdir()
    return path


def write(folder: Path, **changes: Any) -> str:
    folder.joinpath("config.json").write_bytes(orjson.dumps({**CONFIG, **changes}))
    return str(folder)


def answer(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--format", "json")
    assert result.exit_code in {0, 1}, result.output
    parsed: dict[str, Any] = orjson.loads(result.output)
    return parsed


def test_a_folder_and_its_config_file_give_the_same_answer(folder: Path) -> None:
    write(folder)
    by_folder = run("--model", str(folder), "--gpu", "h100-80gb")
    by_file = run("--model", str(folder / "config.json"), "--gpu", "h100-80gb")
    assert by_folder.output == by_file.output
    assert by_folder.output.startswith("my-llama (llama)")


@pytest.mark.parametrize("name", ["kat-v1-40b", "KAT-V1-40B", "Kwaipilot/KAT-V1-40B"])
def test_kat_is_known_by_name_without_its_folder(name: str) -> None:
    assert answer("--model", name, "--gpu", "h100-80gb")["parameters"] == 40_565_560_320


def test_the_exit_code_tells_whether_it_fits() -> None:
    assert run("--model", "kat-v1-40b", "--gpu", "h200-141gb").exit_code == 0
    assert run("--model", "kat-v1-40b", "--gpu", "h100-80gb").exit_code == 1
    assert run("--model", "kat-v1-40b", "--gpu", "no-such-gpu").exit_code == 2


def test_the_parts_of_a_gpu_in_json_sum_up() -> None:
    gpu = answer("--model", "kat-v1-40b", "--gpu", "h100-80gb", "--gpus", "2")["per_gpu"]
    taken = ("weight_bytes", "activation_bytes", "runtime_bytes", "cuda_graph_bytes", "kv_bytes")
    assert sum(gpu[name] for name in taken) == gpu["usable_bytes"]


def test_any_gpu_can_be_given_by_its_memory() -> None:
    gpu = answer("--model", "kat-v1-40b", "--gpu", "RTX PRO 6000:95.6")
    assert (gpu["gpu"], gpu["per_gpu"]["memory_bytes"]) == ("RTX PRO 6000", int(95.6 * 1024**3))


def test_a_quantised_checkpoint_is_taken_as_stored(folder: Path) -> None:
    model = write(folder, quantization_config=AWQ)
    assert answer("--model", model, "--gpu", "l4-24gb")["dtype"] == "int4-awq"


def test_an_option_beside_a_settings_file_wins(tmp_path: Path) -> None:
    path = tmp_path / "settings.env"
    path.write_text('KAT_MODEL=kat-v1-40b\nKAT_ENGINE_ARGS={"tensor_parallel_size":2}\n', encoding="utf-8")
    assert answer("--settings", str(path), "--gpu", "h100-80gb")["gpus"] == 2
    assert answer("--settings", str(path), "--gpu", "h100-80gb", "--gpus", "4")["gpus"] == 4


def test_fp8_on_a_gpu_that_cannot_compute_in_it_is_noted() -> None:
    on_a100 = answer("--model", "kat-v1-40b", "--gpu", "a100-80gb", "--dtype", "fp8")
    assert on_a100["notes"] == ["NVIDIA A100 80GB keeps FP8 but computes in 16 bit: it saves memory, not time"]
    assert answer("--model", "kat-v1-40b", "--gpu", "h100-80gb", "--dtype", "fp8")["notes"] == []


def test_a_sliding_window_is_noted(folder: Path) -> None:
    model = write(folder, model_type="mistral", sliding_window=4096)
    [note] = answer("--model", model, "--gpu", "h100-80gb")["notes"]
    assert note.startswith("some layers keep a window of the context only")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "gemma3"}, "the parts of a model of type 'gemma3' are not known here"),
        ({"model_type": None}, "the parts of a model of type None are not known here"),
        ({"hidden_size": -1}, "hidden_size: input should be greater than 0"),
        ({"model_type": "qwen2", "num_key_value_heads": None}, "'qwen2' has no 'num_key_value_heads'"),
        ({"model_type": "mixtral"}, "'mixtral' has no 'num_local_experts'"),
        ({"model_type": "deepseek_v3", "n_routed_experts": 8}, "'deepseek_v3' has no"),
        ({"layer_types": ["linear_attention"] * 32}, "attention layout linear_attention is not known here"),
        ({"quantization_config": {"quant_method": "exl3", "bits": 3}}, "by 'exl3' with 3 bits are not known here"),
        ({"quantization_config": {**AWQ, "group_size": 32}}, "shares scales among 32 weights"),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4, "dynamic": {"+:x": {"bits": 8}}}},
            "mixes precisions",
        ),
    ],
)
def test_what_cannot_be_reckoned_is_refused_in_one_line(folder: Path, changes: dict[str, Any], reason: str) -> None:
    result = run("--model", write(folder, **changes), "--gpu", "h100-80gb")
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert reason in result.output


def test_a_precision_by_option_goes_before_a_checkpoint_that_is_not_understood(folder: Path) -> None:
    model = write(folder, quantization_config={"quant_method": "exl3", "bits": 3})
    assert answer("--model", model, "--gpu", "h100-80gb", "--dtype", "int4-gptq")["dtype"] == "int4-gptq"


@pytest.mark.parametrize(
    ("content", "reason"), [(b"{", "is no JSON"), (b"[]", "holds no JSON object"), (None, "No such file or directory")]
)
def test_a_folder_without_a_sound_config_is_refused(folder: Path, content: bytes | None, reason: str) -> None:
    if content is not None:
        folder.joinpath("config.json").write_bytes(content)
    result = run("--model", str(folder), "--gpu", "h100-80gb")
    assert result.exit_code == 2
    assert reason in result.output


@pytest.mark.parametrize("gpu", ["rtx", "rtx:", ":24", "rtx:lots", "rtx:-1", "rtx:nan", "rtx:inf"])
def test_a_gpu_without_a_memory_is_refused(gpu: str) -> None:
    result = run("--model", "kat-v1-40b", "--gpu", gpu)
    assert result.exit_code == 2
    assert "give its memory as NAME:GiB" in result.output


@pytest.mark.parametrize("arguments", [(), ("--model", "kat-v1-40b", "--settings", __file__)])
def test_one_of_model_and_settings_is_named(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--gpu", "h100-80gb")
    assert result.exit_code == 2
    assert "name either --model or --settings" in result.output


def test_planning_needs_neither_torch_nor_transformers() -> None:
    heavy = "{'torch', 'transformers', 'vllm', 'kserve'} & set(sys.modules)"
    code = f"import sys, kat_predictor.cli_plan; sys.exit(str({heavy}) if {heavy} else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)
