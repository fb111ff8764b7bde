"""A library that is linked against CUDA's loads without them."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

from tools.cluster.images.cuda_stubs import write_cuda_stubs


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """A torch of one library, linked against two of CUDA's that were then taken away."""
    folder = tmp_path / "torch" / "lib"
    folder.mkdir(parents=True)
    (tmp_path / "blas.map").write_text("libcublas.so.13 { global: cublasCreate_v2; };\n")
    (tmp_path / "user.c").write_text(
        "int cublasCreate_v2(void); int ncclCommAbort(void);\n"
        "int used(int call) { return call ? cublasCreate_v2() + ncclCommAbort() : 7; }\n"
    )

    def compile_library(name: str, code: str, *flags: str) -> None:
        command = ["cc", "-shared", "-fPIC", "-o", str(folder / name), "-x", "c", "-", f"-Wl,-soname,{name}", *flags]
        subprocess.run(command, input=code, text=True, check=True)

    compile_library(
        "libcublas.so.13", "int cublasCreate_v2(void) { return 1; }", f"-Wl,--version-script={tmp_path / 'blas.map'}"
    )
    compile_library("libnccl.so.2", "int ncclCommAbort(void) { return 1; }")
    needs = [f"-L{folder}", "-l:libcublas.so.13", "-l:libnccl.so.2", "-Wl,--disable-new-dtags,-rpath,$ORIGIN"]
    compile_library("libtorch_cuda.so", (tmp_path / "user.c").read_text(), "-x", "none", *needs)
    for name in ("libcublas.so.13", "libnccl.so.2"):
        (folder / name).unlink()
    return tmp_path


def test_a_library_loads_with_stand_ins_for_what_it_is_linked_to(site_packages: Path) -> None:
    assert write_cuda_stubs(site_packages) == ["libcublas.so.13", "libnccl.so.2"]

    # At once, as Python loads extensions: every symbol has to be there.
    library = ctypes.CDLL(str(site_packages / "torch/lib/libtorch_cuda.so"), mode=ctypes.RTLD_LOCAL)

    assert library.used(0) == 7
