"""What a machine lacks for a real node is said all at once."""

from __future__ import annotations

from pathlib import Path

from tools.cluster.node.requirements import missing


def plugins(folder: Path) -> Path:
    for name in ("ptp", "host-local", "loopback"):
        (folder / name).touch()
    return folder


def test_a_machine_with_everything_lacks_nothing(tmp_path: Path) -> None:
    assert list(missing(user=lambda: 0, find=lambda name: f"/usr/bin/{name}", plugins=plugins(tmp_path))) == []


def test_another_user_than_root_is_not_enough(tmp_path: Path) -> None:
    assert list(missing(user=lambda: 1000, find=lambda name: name, plugins=plugins(tmp_path))) == ["root"]


def test_commands_and_plugins_that_are_missing_are_named(tmp_path: Path) -> None:
    found = missing(user=lambda: 0, find=lambda name: None if name == "runc" else name, plugins=tmp_path)

    assert list(found) == ["runc", "the CNI plugin ptp", "the CNI plugin host-local", "the CNI plugin loopback"]
