"""Whether a process runs."""

from __future__ import annotations

from pathlib import Path


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    # A process that nobody has waited for is a zombie (Z), and dead all the same.
    return stat.exists() and stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
