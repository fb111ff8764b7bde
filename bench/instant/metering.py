"""The metering that a measured predictor has: one tenant, and an answer to every delivery at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from kat.directory import ApiKey, Directory, Tenant, hash_api_key, new_api_key
from kat.processes import Part, port_or_free
from kat.usage_event import new_event_id

_ROOT: Final = Path(__file__).parents[2]


def one_tenant() -> tuple[Directory, str]:
    """A directory of one tenant without limits, and its API key."""
    key = new_api_key()
    tenant = Tenant(id="bench", name="Bench")
    keys = [ApiKey(id=new_event_id(), tenant=tenant.id, sha256=hash_api_key(key))]
    return Directory(tenants=[tenant], keys=keys), key


def neighbour(folder: Path, directory: Directory) -> tuple[Part, str]:
    """The process that `bench.instant.neighbour` describes, and its address."""
    port = port_or_free(0)
    url = f"http://127.0.0.1:{port}"
    file = folder / "tenants.json"
    file.write_text(directory.model_dump_json())
    part = Part(
        name="neighbour",
        argv=[sys.executable, "-m", "bench.instant.neighbour", str(port), str(file)],
        env={"PYTHONPATH": str(_ROOT)},
        log=folder / "neighbour.log",
        ready_url=f"{url}/health",
    )
    return part, url
