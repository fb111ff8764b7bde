"""vLLM's engine arguments as an operator writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kat_predictor.engines.vllm_arguments import as_command_line, check_names, read_engine_arguments

KNOWN = {"tensor_parallel_size", "quantization", "max_model_len", "model"}


def test_an_object_is_read_as_it_stands() -> None:
    assert read_engine_arguments(' {"tensor_parallel_size": 2, "quantization": "fp8"} ') == {
        "tensor_parallel_size": 2,
        "quantization": "fp8",
    }


def test_a_path_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    file.write_text(json.dumps({"quantization": "awq"}), encoding="utf-8")
    assert read_engine_arguments(str(file)) == {"quantization": "awq"}


@pytest.mark.parametrize("name", ["max-model-len", "--max-model-len", "max_model_len"])
def test_names_may_be_written_as_on_the_command_line(name: str) -> None:
    assert read_engine_arguments(json.dumps({name: 4096})) == {"max_model_len": 4096}


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ('{"quantization": fp8}', "is no valid JSON"),
        ("/nowhere/engine.json", "neither a JSON object nor a readable file"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(setting: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        read_engine_arguments(setting)
    assert "\n" not in str(refusal.value)


def test_a_file_with_something_else_than_an_object_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    file.write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(ValueError, match="no JSON object but list"):
        read_engine_arguments(str(file))


def test_an_unknown_name_is_refused_with_what_was_probably_meant() -> None:
    with pytest.raises(
        ValueError, match=r"no engine argument tensor_paralel_size; did you mean tensor_parallel_size\?"
    ):
        check_names({"tensor_paralel_size": 2}, KNOWN, {})


def test_an_argument_with_a_setting_of_its_own_is_refused_with_that_setting() -> None:
    with pytest.raises(ValueError, match="model is set by KAT_MODEL"):
        check_names({"model": "other"}, KNOWN, {"model": "KAT_MODEL"})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2, ["--an-option=2"]),
        (0.9, ["--an-option=0.9"]),
        ("fp8", ["--an-option=fp8"]),
        ("-1", ["--an-option=-1"]),
        (True, ["--an-option"]),
        (False, ["--no-an-option"]),
        (None, []),
        ({"method": "ngram"}, ['--an-option={"method": "ngram"}']),
        (["a", 1], ["--an-option", "a", "1"]),
    ],
)
def test_each_kind_of_value_has_its_form_on_the_command_line(value: object, words: list[str]) -> None:
    assert as_command_line({"an_option": value}) == words
