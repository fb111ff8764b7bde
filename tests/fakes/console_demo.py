"""A metering service worth looking at: two tenants with a month of usage, a budget, samples, and a closed statement.

Behind a real socket, with a real predictor around a scripted engine, for the browser and for screenshots.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
from pydantic import SecretStr

from kat.processes import Part, port_or_free
from kat.usage_event import new_event_id
from kat_metering.settings import Settings
from tests.fakes.folders import database_folder
from tests.fakes.metering import ADMIN, ADMIN_TOKEN, SERVICE_TOKEN
from tests.fakes.metering_server import metering_server
from tests.fakes.usage_events import an_event

MODEL = "KAT-V1-40B"
TENANTS = {"acme": "Acme Robotics", "borealis": "Borealis Health"}
PROJECTS = ("support-bot", "code-review")
REPLY = (
    "The question asks for a proof about one number, so a short check by division is worth the thought.\n</judge>\n\n"
    "<think_on>\n<think>\nTry small primes. 91 is odd, its digits sum to 10, it does not end in 0 or 5. "
    "Seven: 7 times 13 is 91.\n</think>\n\n"
    "<answer>\nNo. 91 = 7 * 13, so it is not a prime number.\n</answer>"
)
_PER_DAY = 12
_SAMPLES = 160
_WAIT_SECONDS = 120
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Demo:
    """Where the service is, and the key of tenant `acme`."""

    url: str
    key: str
    other_key: str
    """Of tenant `borealis`."""
    predictor_url: str = ""
    """Empty without a predictor."""
    admin_token: str = ADMIN_TOKEN


@contextmanager
def console_demo(database_url: str, *, predictor: bool = True) -> Iterator[Demo]:
    """The running service, filled. Without a predictor there is no playground."""
    port = port_or_free(0)
    predictor_url = f"http://127.0.0.1:{port}"
    settings = Settings(
        admin_token=SecretStr(ADMIN_TOKEN),
        service_token=SecretStr(SERVICE_TOKEN),
        database_url=SecretStr(database_url),
        rollup_interval_seconds=0.05,
        predictor_url=predictor_url if predictor else None,
    )
    now = datetime.now(UTC)
    with metering_server(settings, *demo_events(now, seed=7)) as url:
        with httpx.Client(base_url=url, headers=ADMIN, timeout=_WAIT_SECONDS) as client:
            keys = _fill(client, now)
        demo = Demo(
            url,
            key=keys["acme"],
            other_key=keys["borealis"],
            predictor_url=predictor_url if predictor else "",
        )
        if not predictor:
            yield demo
            return
        with _scripted_predictor(port, url):
            yield demo


def demo_events(now: datetime, *, seed: int) -> list[dict[str, Any]]:
    """Usage of the month before and of this one, until two hours ago."""
    dice = random.Random(seed)
    day = (now.replace(day=1) - timedelta(days=1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = []
    while day < now:
        weekend = day.weekday() >= 5
        for tenant, scale in (("acme", 1.0), ("borealis", 0.45)):
            for _ in range(round(_PER_DAY * scale * (0.35 if weekend else dice.uniform(0.8, 1.25)))):
                hour = min(23, max(0, round(dice.gauss(13, 4))))
                at = day + timedelta(hours=hour, seconds=dice.randrange(3600))
                if at < now - timedelta(hours=2):
                    found.append(_event(dice, at, tenant))
        day += timedelta(days=1)
    return found


def _event(dice: random.Random, at: datetime, tenant: str) -> dict[str, Any]:
    thinks = dice.random() < (0.38 if tenant == "acme" else 0.22)
    chosen = dice.choices(["model", "instruction", "request"], [0.8, 0.12, 0.08])[0]
    prompt = dice.randrange(150, 480)
    cached = dice.choice([0, 0, prompt // 2])
    tokens = {
        "prompt": prompt - cached,
        "prompt_cached": cached,
        "judge": dice.randrange(18, 46) if chosen == "model" else 0,
        "think": dice.randrange(350, 2_600) if thinks else 0,
        "answer": dice.randrange(60, 420),
        "control": 9 if thinks else 6,
    }
    return an_event(
        at=at,
        tenant=tenant,
        project=dice.choice(PROJECTS),
        model=MODEL,
        mode="on" if thinks else "off",
        mode_source=chosen,
        tokens=tokens,
        labels={"task": dice.choice(["humaneval", "chat", "chat"])},
    )


def _fill(client: httpx.Client, now: datetime) -> dict[str, str]:
    keys: dict[str, str] = {}
    for tenant, name in TENANTS.items():
        client.post("/v1/tenants", json={"id": tenant, "name": name}).raise_for_status()
        for project in PROJECTS:
            made = client.post(f"/v1/tenants/{tenant}/keys", json={"name": f"{project} prod", "project": project})
            keys.setdefault(tenant, made.raise_for_status().json()["key"])
    client.patch("/v1/tenants/acme", json={"monthly_budget": "0.12", "think_off_at": "0.8"}).raise_for_status()
    client.post("/v1/shadow/samples", content=samples(now), headers=_JSON).raise_for_status()
    month = now.replace(day=1) - timedelta(days=1)
    client.post("/v1/statements", json={"tenant": "acme", "month": f"{month:%Y-%m}"}).raise_for_status()
    return keys


def samples(now: datetime) -> bytes:
    dice = random.Random(11)
    taken = []
    for mode, ratio in (("on", 1.7), ("off", 6.5)):
        for task in ("chat", "humaneval", ""):
            for _ in range(_SAMPLES):
                ours = dice.randrange(80, 900)
                taken.append(
                    {
                        "id": new_event_id(),
                        "taken_at": now - timedelta(days=70),
                        "model": MODEL,
                        "mode": mode,
                        "task": task,
                        "prompt_tokens": dice.randrange(150, 480),
                        "tokens_ours": ours,
                        "tokens_baseline": round(ours * dice.uniform(0.7, 1.3) * ratio),
                        "latency_ours_ms": 1_000.0,
                        "latency_baseline_ms": 3_000.0,
                    }
                )
    return orjson.dumps({"baseline": "kat-v1-200b", "samples": taken})


@contextmanager
def _scripted_predictor(port: int, metering_url: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="kat-home-", dir=database_folder(), ignore_cleanup_errors=True) as home:
        script = orjson.dumps({"replies": [REPLY], "token_seconds": 0.03}).decode()
        part = Part(
            name="predictor",
            argv=[sys.executable, "-m", "tests.fakes.serve_scripted", script],
            env={
                "KAT_HOME": home,
                "KAT_MODEL_NAME": MODEL,
                "KAT_HOST": "127.0.0.1",
                "KAT_PORT": str(port),
                "KAT_METERING_URL": metering_url,
                "KAT_SERVICE_TOKEN": SERVICE_TOKEN,
                "KAT_DIRECTORY_REFRESH_SECONDS": "0.5",
                "PYTHONPATH": str(Path(__file__).parents[2]),
            },
            log=Path(home) / "predictor.log",
            ready_url=f"http://127.0.0.1:{port}/v2/health/ready",
        )
        try:
            part.start()
            part.wait_ready(timeout=_WAIT_SECONDS)
            yield
        finally:
            part.stop(timeout=_WAIT_SECONDS)


def main() -> None:
    """Serve the demo until the process is ended: `python -m tests.fakes.console_demo`."""
    from kat_metering.store.embedded import EmbeddedPostgres  # noqa: PLC0415 - for this alone

    with (
        tempfile.TemporaryDirectory(prefix="kat-postgres-", dir=database_folder()) as folder,
        EmbeddedPostgres(Path(folder)) as postgres,
        console_demo(postgres.url) as demo,
    ):
        print(f"{demo.url}/console/  operator: {demo.admin_token}  tenant: {demo.key}", flush=True)  # noqa: T201
        threading.Event().wait()


if __name__ == "__main__":
    main()
