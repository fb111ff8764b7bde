"""Stand-ins for CUDA's libraries, so that torch's one wheel for Linux runs on a CPU without gigabytes of them.

torch is linked against them and will not be loaded without, though on a machine without a GPU it calls none but the
CUDA runtime, which is small and stays. A stand-in has the name, the versions and the symbols that torch's libraries ask
for; each symbol ends the process if it is ever called. For images of test clusters: production's have the real ones.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tools.cluster.images.layer import run

_UNVERSIONED: Final = "libkat_without_cuda.so"
_VENDOR: Final = re.compile(r"lib(cu|nv|nccl)")


@dataclass
class Wanted:
    """What a set of libraries asks of others that are not there."""

    libraries: set[str] = field(default_factory=set)
    """Names, as the loader looks for them: `libcublas.so.13`."""
    versioned: dict[str, dict[str, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    """Symbols by library and by the version that they have there."""
    unversioned: set[str] = field(default_factory=set)
    """Symbols that may come from any library."""


def write_cuda_stubs(site_packages: Path) -> list[str]:
    """Put a stand-in beside torch's own libraries for each that is missing. Their names."""
    torch = site_packages / "torch" / "lib"
    present = {path.name for path in site_packages.glob("nvidia/**/lib/*.so*")} | {p.name for p in torch.iterdir()}
    vendor = [path for path in torch.iterdir() if path.name.startswith(("libtorch", "libc10_cuda"))]
    wanted = missing([(path, _objdump(path), _undefined(path)) for path in vendor], present)
    with tempfile.TemporaryDirectory() as scratch:
        # Symbols without a version: one library has them all, and torch finds it through any of the others.
        _compile(torch / _UNVERSIONED, wanted.unversioned, {}, Path(scratch), needs=())
        for library in sorted(wanted.libraries):
            _compile(torch / library, set(), wanted.versioned.get(library, {}), Path(scratch), needs=(_UNVERSIONED,))
    return sorted(wanted.libraries)


def missing(libraries: Iterable[tuple[Path, str, str]], present: set[str]) -> Wanted:
    """What `libraries` (each with the outputs of `objdump -p` and `nm -D`) want of libraries that are not `present`."""
    wanted = Wanted()
    for _, headers, symbols in libraries:
        names = {name for name in re.findall(r"NEEDED +(\S+)", headers) if _VENDOR.match(name)} - present
        wanted.libraries |= names
        home = _homes_of_versions(headers)
        for symbol, _, version in (line.split()[-1].partition("@") for line in symbols.splitlines() if line.strip()):
            if not version:
                if re.match(r"_?(cu|nv|nccl|Nv)[A-Za-z]", symbol):
                    wanted.unversioned.add(symbol)
            elif (library := home.get(version, "")) in names:
                wanted.versioned[library][version].add(symbol)
    return wanted


def _homes_of_versions(headers: str) -> dict[str, str]:
    """Which library each version of a symbol is from: the `Version References` of `objdump -p`."""
    homes: dict[str, str] = {}
    library = ""
    for line in headers.partition("Version References:")[2].splitlines():
        if found := re.match(r"\s+required from (\S+):", line):
            library = found[1]
        elif found := re.match(r"\s+0x\S+ 0x\S+ \d+ (\S+)", line):
            homes[found[1]] = library
    return homes


def _compile(
    target: Path, symbols: set[str], versioned: Mapping[str, set[str]], scratch: Path, *, needs: tuple[str, ...]
) -> None:
    everything = sorted(symbols.union(*versioned.values()))
    source, script = scratch / "stub.c", scratch / "stub.map"
    source.write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n"
        + "".join(
            f'void {symbol}(void) {{ fputs("{symbol}: CUDA was left out of this image\\n", stderr); abort(); }}\n'
            for symbol in everything
        )
    )
    flags = [f"-Wl,-soname,{target.name}"]
    if versioned:
        script.write_text(
            "".join(f"{version} {{ global: {'; '.join(sorted(names))}; }};\n" for version, names in versioned.items())
        )
        flags.append(f"-Wl,--version-script={script}")
    needed = [f"-l:{name}" for name in needs]
    run(
        [
            *("cc", "-shared", "-fPIC", "-fno-builtin", "-w", "-o", target, source),
            *flags,
            *("-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN", f"-L{target.parent}", *needed),
        ]
    )


def _objdump(library: Path) -> str:
    return _output("objdump", "-p", str(library))


def _undefined(library: Path) -> str:
    return _output("nm", "-D", "--undefined-only", str(library))


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own commands
