"""vLLM's scheduler, a process of its own."""

from __future__ import annotations

from pathlib import Path


def engine_core_of(parent: int) -> int:
    """The pid of the scheduler that a process has started."""
    for child in Path(f"/proc/{parent}/task").glob("*/children"):
        for pid in child.read_text(encoding="utf-8").split():
            if "EngineCore" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8"):
                return int(pid)
    raise AssertionError(f"process {parent} has no scheduler of vLLM")
