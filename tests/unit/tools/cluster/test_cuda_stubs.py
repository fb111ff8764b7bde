"""Stand-ins for CUDA's libraries have all that torch's libraries ask of those that are missing."""

from __future__ import annotations

from pathlib import Path

from tools.cluster.images.cuda_stubs import missing

HEADERS = """
Dynamic Section:
  NEEDED               libcublas.so.13
  NEEDED               libcudart.so.13
  NEEDED               libnccl.so.2
  NEEDED               libm.so.6

Version References:
  required from libcublas.so.13:
    0x0ef62133 0x00 03 libcublas.so.13
  required from libcudart.so.13:
    0x0ff3db23 0x00 14 libcudart.so.13
  required from libm.so.6:
    0x06969187 0x00 30 GLIBC_2.27
"""
SYMBOLS = """
                 U cublasCreate_v2@libcublas.so.13
                 U cudaMalloc@libcudart.so.13
                 U expf@GLIBC_2.27
                 U ncclCommAbort
                 U _ZN3c105ErrorE
"""


def test_only_libraries_that_are_missing_are_wanted() -> None:
    wanted = missing([(Path("libtorch_cuda.so"), HEADERS, SYMBOLS)], present={"libcudart.so.13"})

    assert wanted.libraries == {"libcublas.so.13", "libnccl.so.2"}


def test_symbols_are_wanted_of_the_library_that_their_version_names() -> None:
    wanted = missing([(Path("libtorch_cuda.so"), HEADERS, SYMBOLS)], present={"libcudart.so.13"})

    assert wanted.versioned == {"libcublas.so.13": {"libcublas.so.13": {"cublasCreate_v2"}}}


def test_symbols_without_version_are_wanted_of_any() -> None:
    wanted = missing([(Path("libtorch_cuda.so"), HEADERS, SYMBOLS)], present={"libcudart.so.13"})

    assert wanted.unversioned == {"ncclCommAbort"}
