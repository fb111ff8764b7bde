"""LiteLLM's proxy in an environment of its own: it is measured, and no dependency of anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import yaml

from kat.processes import Part

VERSION: Final = "1.108.7"
_KEY: Final = "sk-bench"
_ROOT: Final = Path(__file__).parents[2]


class CannotInstallError(Exception):
    """There is no LiteLLM to be had here."""


def installed(cache: Path) -> Path:
    """The folder of LiteLLM's environment, made at the first call.

    Raises:
        CannotInstallError: The environment cannot be made; most likely there is no package index.
    """
    home = cache / f"litellm-{VERSION}"
    done = home / ".installed"
    if not done.exists():
        shutil.rmtree(home, ignore_errors=True)
        requirement = f"litellm[proxy]=={VERSION}"
        for command in _how_to_install(home, requirement):
            ended = subprocess.run(command, check=False, capture_output=True, text=True)
            if ended.returncode:
                reason = ended.stderr.strip().splitlines()[-1:] or [f"exit code {ended.returncode}"]
                raise CannotInstallError(f"{requirement} cannot be installed: {reason[0]}")
        done.touch()
    return home


def _how_to_install(home: Path, requirement: str) -> list[list[str]]:
    uv = os.environ.get("UV") or shutil.which("uv") or shutil.which(_ROOT / ".uv" / "bin" / "uv")
    python = str(home / "bin" / "python")
    if uv is None:
        return [
            [sys.executable, "-m", "venv", str(home)],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement],
        ]
    return [
        [uv, "venv", "--quiet", "--python", sys.executable, str(home)],
        [uv, "pip", "install", "--quiet", "--python", python, requirement],
    ]


def proxy(environment: Path, *, folder: Path, port: int, upstream: str) -> tuple[Part, str]:
    """The proxy with one worker, in front of the model `instant` at `upstream`; and its key."""
    config = folder / "litellm.yaml"
    model = {"model": "openai/instant", "api_base": f"{upstream}/v1", "api_key": "none"}
    config.write_text(
        yaml.safe_dump(
            {
                "model_list": [{"model_name": "instant", "litellm_params": model}],
                "general_settings": {"master_key": _KEY},
            }
        )
    )
    bin_folder = environment / "bin"
    part = Part(
        name="litellm",
        argv=[
            *(str(bin_folder / "python"), str(bin_folder / "litellm"), "--config", str(config)),
            *("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        ],
        env={
            # Nothing is fetched, and nothing is written a request, as its own advice for production has it.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
        },
        log=folder / "litellm.log",
        ready_url=f"http://127.0.0.1:{port}/health/liveliness",
    )
    return part, _KEY
