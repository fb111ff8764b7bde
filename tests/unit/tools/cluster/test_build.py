"""Binaries are built once for each state of their module, and by one of those who want them."""

import os
import threading
from pathlib import Path

import pytest

from tools.cluster import build
from tools.cluster.errors import BuildFailed, Unavailable

GO = """\
#!/bin/sh
# A Go that writes what it is asked to build, and puts down that it was called.
echo called >> "{calls}"
while [ "$1" != -o ]; do shift; done
folder="$2"; shift 2
for package; do echo "$package" > "$folder/$(basename "$package")"; done
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `kwok` of the test's own, a Go that is none, and the file that tells how often it was called."""
    module = tmp_path / "modules" / "kwok"
    module.mkdir(parents=True)
    (module / "go.mod").write_text("module test")
    (module / "go.sum").write_text("first")
    calls = tmp_path / "calls"
    calls.touch()
    script = tmp_path / "bin" / "go"
    script.parent.mkdir()
    script.write_text(GO.format(calls=calls))
    script.chmod(0o755)
    monkeypatch.setattr(build, "MODULES", module.parent)
    monkeypatch.setenv("KAT_CLUSTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return calls


def times_built(calls: Path) -> int:
    return len(calls.read_text().splitlines())


def test_a_binary_is_the_one_that_go_built_of_its_package(calls: Path) -> None:
    assert build.binaries("kwok")["kwok"].read_text() == "sigs.k8s.io/kwok/cmd/kwok\n"


def test_what_the_cache_has_is_not_built_again(calls: Path) -> None:
    first = build.binaries("kwok")

    assert build.binaries("kwok") == first
    assert times_built(calls) == 1


def test_another_state_of_the_module_is_another_binary(calls: Path, tmp_path: Path) -> None:
    first = build.binaries("kwok")
    (tmp_path / "modules" / "kwok" / "go.sum").write_text("second")

    assert build.binaries("kwok") != first


def test_of_two_that_want_the_same_one_builds_and_the_other_waits(calls: Path) -> None:
    callers = [threading.Thread(target=build.binaries, args=("kwok",)) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert times_built(calls) == 1


def test_a_failed_build_tells_what_go_said(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "bin" / "go").write_text("#!/bin/sh\necho no such package >&2\nexit 1\n")

    with pytest.raises(BuildFailed, match="no such package"):
        build.binaries("kwok")


def test_a_failed_build_leaves_no_binary_behind(calls: Path, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "go"
    script.write_text(GO.format(calls=calls) + "exit 1\n")
    with pytest.raises(BuildFailed):
        build.binaries("kwok")

    assert not [*(tmp_path / "cache").rglob("kwok")]


def test_without_go_the_error_says_what_to_install(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)

    with pytest.raises(Unavailable, match=r"Go 1\.25 or newer"):
        build.binaries("kwok")


def test_a_package_whose_path_ends_in_a_version_is_named_for_the_part_before_it() -> None:
    assert build._built(Path("/folder"), "go.etcd.io/etcd/server/v3") == Path("/folder/server")
