"""The real Helm, on this repository's chart."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tools.cluster import build

CHART: Final = Path(__file__).parents[2] / "charts" / "kat-serving"
EXAMPLES: Final = sorted((CHART / "examples").glob("*.yaml"))
KUBERNETES: Final = "1.34.0"
"""What a chart is rendered for where there is no cluster to ask."""
SECRETS: Final[Mapping[str, Any]] = {
    "tokens": {"existingSecret": "kat-tokens"},
    "database": {"external": {"existingSecret": "kat-database"}},
}
"""The least that has to be set."""
_SECONDS: Final = 120


class HelmError(Exception):
    """Helm refused; these are its words."""


class Helm:
    """`folder` takes its state; without a kubeconfig it only renders."""

    def __init__(self, folder: Path, *, kubeconfig: Path | None = None) -> None:
        self._binary = build.binaries("helm")["helm"]
        self._folder = folder
        self._kubeconfig = kubeconfig

    def run(self, *arguments: str | Path, values: Mapping[str, Any] | None = None) -> str:
        """What it prints. Raises HelmError where it fails."""
        done = subprocess.run(
            self._command(*arguments, values=values),
            env=self._env(),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            raise HelmError(done.stdout + done.stderr)
        return done.stdout

    def start(self, *arguments: str | Path, values: Mapping[str, Any] | None = None) -> subprocess.Popen[str]:
        """Without waiting for its end."""
        return subprocess.Popen(
            self._command(*arguments, values=values),
            env=self._env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def render(
        self, *arguments: str | Path, values: Mapping[str, Any] | None = None, namespace: str = "kat-system"
    ) -> list[dict[str, Any]]:
        """The manifests, hooks and tests among them."""
        text = self.run(
            *("template", "kat", CHART, "--namespace", namespace, "--kube-version", KUBERNETES, *arguments),
            values=values,
        )
        return [document for document in yaml.safe_load_all(text) if document]

    def _command(self, *arguments: str | Path, values: Mapping[str, Any] | None) -> list[str]:
        told = [str(argument) for argument in arguments]
        if values is not None:
            path = self._folder / f"values-{len(list(self._folder.iterdir()))}.json"
            path.write_text(json.dumps(values))
            told += ["--values", str(path)]
        return [str(self._binary), *told]

    def _env(self) -> dict[str, str]:
        kubeconfig = {} if self._kubeconfig is None else {"KUBECONFIG": str(self._kubeconfig)}
        return {"PATH": os.environ["PATH"], "HOME": str(self._folder), **kubeconfig}
