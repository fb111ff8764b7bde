"""`kat train eval` on a model in this process: where there is none to load, one line says why."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from kat_training.store import write_corpus
from tests.fakes.training_samples import SUM


def test_a_folder_that_is_no_checkpoint_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", [replace(SUM, split="held_out")], "card")
    command = ["train", "eval", "--corpus", str(tmp_path / "corpus"), "--model", str(tmp_path)]
    # A process of its own, for the command sets up logs.
    done = subprocess.run(
        [sys.executable, "-c", "from kat.cli import main; main()", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert (done.returncode, done.stdout, len(said)) == (2, "", 1), done.stderr
    assert "cannot be loaded" in said[0]
