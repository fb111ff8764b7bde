"""What continuous batching and the prefix cache gain, on SmolLM2-135M in the transformers engine.

    .venv/bin/python bench/batching.py [--json] [--rounds N]

Tokens per second with 1, 8 and 32 streams at once, in turns, so that other work on the machine meets all of them; the
ratio is taken within each round, and the median round counts. Then the time to the first token of a prompt of about 300
tokens, new and seen before. The load average says how quiet the machine was.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import resource
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import click

from kat.home import kat_home
from kat.logs import configure_logs
from kat_predictor.engines.base import Sampling
from kat_predictor.engines.default_model import base_model
from kat_predictor.engines.load import load_checkpoint
from kat_predictor.engines.transformers import TransformersEngine

_STREAMS = (1, 8, 32)
_WORDS = [
    "river",
    "stone",
    "lamp",
    "cloud",
    "engine",
    "paper",
    "window",
    "garden",
    "metal",
    "winter",
    "signal",
    "basket",
]


async def _stream(engine: TransformersEngine, prompt: str, tokens: int) -> tuple[float, int]:
    """Seconds to the first token, and how many came."""
    # Without its end-of-sequence token a stream is as long as asked.
    [end] = engine.encode("<|im_end|>")
    sampling = Sampling(max_tokens=tokens, temperature=0.6, top_p=0.95, seed=1, logit_bias={end: -100.0})
    started = time.perf_counter()
    first, count = 0.0, 0
    async for chunk in engine.generate(engine.encode(prompt), sampling):
        first = first or time.perf_counter() - started
        count += len(chunk.token_ids)
    return first, count


def _chat(engine: TransformersEngine, question: str) -> str:
    return engine.render_chat([{"role": "user", "content": question}], None)


async def _tokens_per_second(engine: TransformersEngine, streams: int, tokens: int, salt: int) -> float:
    prompts = [_chat(engine, f"Tell me a story about the number {salt * 100 + number}.") for number in range(streams)]
    started = time.perf_counter()
    counts = await asyncio.gather(*(_stream(engine, prompt, tokens) for prompt in prompts))
    return sum(count for _, count in counts) / (time.perf_counter() - started)


async def _first_token(engine: TransformersEngine, salt: int) -> tuple[int, float, float]:
    """Length of a prompt, and seconds to its first token when it is new and when it was seen before."""
    text = " ".join(f"{_WORDS[(salt + number) % len(_WORDS)]} {salt * number % 97}," for number in range(56))
    prompt = _chat(engine, f"{salt}: {text}")
    new, _ = await _stream(engine, prompt, 1)
    seen, _ = await _stream(engine, prompt, 1)
    return len(engine.encode(prompt)), new, seen


async def _measure(engine: TransformersEngine, rounds: int, tokens: int) -> dict[str, object]:
    for streams in _STREAMS:
        await _tokens_per_second(engine, streams, 4, salt=9)
    rates: dict[int, list[float]] = {streams: [] for streams in _STREAMS}
    for salt in range(rounds):
        for streams in _STREAMS:
            rates[streams].append(await _tokens_per_second(engine, streams, tokens, salt))
        print(
            f"round {salt + 1}: " + ", ".join(f"{s} streams {rates[s][-1]:.0f} tokens/s" for s in _STREAMS), flush=True
        )
    ratios = [eight / one for one, eight in zip(rates[1], rates[8], strict=True)]
    firsts = [await _first_token(engine, salt) for salt in range(1, 2 * rounds + 1)]
    await engine.close()
    return {
        "tokens_per_second": {str(s): round(statistics.median(rates[s]), 1) for s in _STREAMS},
        "best_tokens_per_second": {str(s): round(max(rates[s]), 1) for s in _STREAMS},
        "ratio_8_to_1": round(statistics.median(ratios), 2),
        "ratio_8_to_1_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "prompt_tokens": firsts[0][0],
        "first_token_ms": round(1000 * statistics.median(new for _, new, _ in firsts), 1),
        "first_token_cached_ms": round(1000 * statistics.median(seen for _, _, seen in firsts), 1),
    }


@click.command()
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object on one line.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--tokens", default=64, show_default=True, help="Output tokens of each stream.")
@click.option("--models", type=click.Path(file_okay=False, path_type=Path), help="Folder of converted checkpoints.")
def main(*, as_json: bool, rounds: int, tokens: int, models: Path | None) -> None:
    """Measure batching and prefix caching."""
    configure_logs(quiet=["kat_predictor"])
    load_before = os.getloadavg()[0]
    model, tokenizer = load_checkpoint(str(base_model(models or kat_home() / "models", progress=print)))
    engine = TransformersEngine(model, tokenizer)
    result = {
        "benchmark": "batching",
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "dtype": str(model.dtype),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "tokens_per_stream": tokens,
        "rounds": rounds,
        **asyncio.run(_measure(engine, rounds, tokens)),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "load_average_before": round(load_before, 1),
        "load_average_after": round(os.getloadavg()[0], 1),
    }
    print(f"tokens/s by streams, median: {result['tokens_per_second']}; 8 to 1: {result['ratio_8_to_1']}")
    print(
        f"first token of {result['prompt_tokens']} prompt tokens: {result['first_token_ms']} ms, "
        f"seen before {result['first_token_cached_ms']} ms"
    )
    print(f"peak memory {result['peak_memory_mib']} MiB; load average {load_before:.1f} before the start")
    if as_json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
