"""Layers are made once, and again when what they are made of changes."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from tools.cluster.errors import BuildFailed
from tools.cluster.images.layer import cached, key_of, run


class Recipe:
    """Counts how often it was followed."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, tree: Path) -> None:
        self.made += 1
        (tree / "file").write_text("content")


def test_a_layer_is_made_once(tmp_path: Path) -> None:
    recipe = Recipe()

    first, second = (cached(tmp_path, "part", "a", recipe) for _ in range(2))

    assert (recipe.made, first) == (1, second)


def test_another_key_makes_it_anew_and_drops_the_old(tmp_path: Path) -> None:
    old = cached(tmp_path, "part", "a", Recipe())

    new = cached(tmp_path, "part", "b", Recipe())

    assert new.archive.exists()
    assert not old.folder.exists()


def test_a_name_that_begins_alike_is_another_layer(tmp_path: Path) -> None:
    longer = cached(tmp_path, "part-dependencies", "a", Recipe())

    cached(tmp_path, "part", "b", Recipe())

    assert longer.folder.exists()


def test_what_failed_is_not_there(tmp_path: Path) -> None:
    def fail(tree: Path) -> None:
        (tree / "half").touch()
        raise BuildFailed("no")

    with pytest.raises(BuildFailed):
        cached(tmp_path, "part", "a", fail)

    assert not [path for path in tmp_path.iterdir() if not path.name.endswith(".lock")]


def test_every_user_may_enter_the_root(tmp_path: Path) -> None:
    layer = cached(tmp_path, "part", "a", Recipe())

    with tarfile.open(layer.archive) as tar:
        assert tar.getmember(".").mode & 0o005 == 0o005


def test_the_size_is_the_archives(tmp_path: Path) -> None:
    layer = cached(tmp_path, "part", "a", Recipe())

    assert layer.size == len(layer.archive.read_bytes())


def test_a_removed_file_of_a_lower_layer_is_refused(tmp_path: Path) -> None:
    """The overlay file system marks it by a device that would come out as a file."""

    def remove(tree: Path) -> None:
        os.mknod(tree / "gone", 0o600 | 0o020000, os.makedev(0, 0))

    if os.geteuid() != 0:
        pytest.skip("only root makes devices")
    with pytest.raises(BuildFailed, match="gone was removed"):
        cached(tmp_path, "part", "a", remove)


def test_keys_differ_by_content_and_by_where_parts_end(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("ab")

    assert len({key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of("ab"), key_of(b"ab", "c", "")}) == 5
    assert key_of(file) == key_of("ab")


def test_a_command_that_fails_is_quoted() -> None:
    with pytest.raises(BuildFailed, match=r"(?s)exit code 3.*the reason"):
        run(["sh", "-c", "echo the reason; exit 3"])
