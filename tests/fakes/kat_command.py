"""The `kat` command, as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


class KatError(Exception):
    """The command failed; these are its words."""


def kat(*arguments: str, **environment: str) -> str:
    """What it prints, with more of the environment. Raises KatError where it fails."""
    command = [str(Path(sys.executable).with_name("kat")), *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KatError(done.stdout + done.stderr)
    return done.stdout
