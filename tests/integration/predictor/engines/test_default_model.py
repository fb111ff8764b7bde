"""The bundled checkpoints, as they are made from the packages that are really installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from kat_predictor.chat_template import ChatTemplate
from kat_predictor.engines.load import load_engine
from kat_predictor.judging_template import JUDGING_TEMPLATE
from tests.fakes.model_cache import MODELS

LOAD_WITHOUT_NETWORK = """
import socket, sys

def refuse(*_arguments):
    raise SystemExit("the network was asked for")

socket.socket.connect = socket.getaddrinfo = refuse
from kat_predictor.engines.load import load_checkpoint
model, tokenizer = load_checkpoint(sys.argv[1], dtype="bfloat16")
print(model.dtype, sum(p.numel() for p in model.parameters()), tokenizer.eos_token)
"""


@pytest.fixture(params=["default_model_path", "base_model_path"])
def bundled(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def test_a_checkpoint_loads_without_a_network_whatever_the_environment_says(bundled: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}

    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_WITHOUT_NETWORK, bundled],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (loaded.stdout.split(), loaded.returncode) == (["torch.bfloat16", "134515008", "<|im_end|>"], 0), loaded


def test_the_default_model_is_asked_in_the_template_that_it_was_taught_in(default_model_path: Path) -> None:
    assert AutoTokenizer.from_pretrained(default_model_path).chat_template == JUDGING_TEMPLATE


@pytest.mark.parametrize(("name", "judges"), [("default", True), ("smollm2-135m-instruct", False)])
async def test_a_bundled_model_is_loaded_by_its_name_and_only_the_taught_one_judges(name: str, *, judges: bool) -> None:
    engine = load_engine(name, models_dir=MODELS, engine="transformers")
    try:
        assert ChatTemplate(engine).judges is judges
    finally:
        await engine.close()
