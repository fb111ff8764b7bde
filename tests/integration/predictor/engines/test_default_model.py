from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOAD_WITHOUT_NETWORK = """
import socket, sys

def refuse(*_arguments):
    raise SystemExit("the network was asked for")

socket.socket.connect = socket.getaddrinfo = refuse
from kat_predictor.engines.load import load_checkpoint
model, tokenizer = load_checkpoint(sys.argv[1], dtype="bfloat16")
print(model.dtype, sum(p.numel() for p in model.parameters()), tokenizer.eos_token)
"""


def test_the_checkpoint_loads_without_a_network_whatever_the_environment_says(default_model_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}

    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_WITHOUT_NETWORK, default_model_path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (loaded.stdout.split(), loaded.returncode) == (["torch.bfloat16", "134515008", "<|im_end|>"], 0), loaded
