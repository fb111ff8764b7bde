"""Runs the tests of an answer that is Python code, in a process of its own with little time, memory and no files.

It holds up mistakes and endless loops, not an attacker: evaluate a model that you do not trust in a container.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Final

import orjson

_SECONDS: Final = 5
_MEMORY: Final = 512 * 1024 * 1024
_PROGRAM: Final = """
import json, sys
given = json.load(sys.stdin)
names = {}
exec(given["code"], names)
sys.exit(0 if all(eval(test, names) for test in given["tests"]) else 1)
"""


def passes(code: str, tests: Sequence[str]) -> bool:
    """Whether the code runs and all of its tests are true; code without a test passes nothing."""
    if not tests:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(  # noqa: S603 - no shell; the code is data of the program above
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                input=orjson.dumps({"code": code, "tests": list(tests)}),
                cwd=folder,
                env={},
                capture_output=True,
                timeout=2 * _SECONDS,
                check=False,
                preexec_fn=_confine,
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def _confine() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
