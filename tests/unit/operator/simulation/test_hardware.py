"""How fast a replica is."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from kat_operator.simulation.hardware import BadBenchmark, Hardware, calibrated

# NVIDIA's table of Llama-3.3-70B-Instruct, FP8, two H100, 5,000 tokens in and 500 out: milliseconds between tokens and
# tokens a second, by concurrency.
PUBLISHED = {1: (18.58, 51.67), 5: (21.83, 218.48), 25: (38.75, 623.4), 50: (59.73, 814.37), 100: (92.91, 917.26)}
LARGER = 40.57 / 35.3


def benchmark(folder: Path, document: object) -> Path:
    path = folder / "engine.json"
    path.write_bytes(orjson.dumps(document))
    return path


@pytest.mark.parametrize("concurrency", PUBLISHED)
def test_the_default_reproduces_the_published_time_between_tokens(concurrency: int) -> None:
    published, throughput = PUBLISHED[concurrency]
    hardware = Hardware(max_concurrent=100)
    # The share of time in which prompts are read, at the published throughput.
    reading = throughput / 500 * 5_000 / (hardware.prefill_tokens_per_second * LARGER)
    between = hardware.step_seconds[concurrency] / LARGER / (1 - reading)
    assert between * 1_000 == pytest.approx(published, rel=0.1)


def test_more_requests_together_get_more_tokens_and_each_of_them_fewer() -> None:
    steps = Hardware(max_concurrent=64).step_seconds
    rates = [running / step for running, step in enumerate(steps) if running]
    assert rates == sorted(rates)
    assert list(steps[8:]) == sorted(steps[8:])


def test_a_benchmark_gives_the_throughput_curve(tmp_path: Path) -> None:
    result = {"result": {"predictor": {"tokens_per_second": {"1": 25.8, "8": 115.7, "32": 163.1}}}}
    hardware = calibrated(benchmark(tmp_path, result))
    assert [running / hardware.step_seconds[running] for running in (1, 8, 32)] == pytest.approx([25.8, 115.7, 163.1])


def test_a_benchmark_sets_the_prompts_price_by_that_of_a_lone_token(tmp_path: Path) -> None:
    default = Hardware()
    alone = default.tokens_per_second[0]
    result = {"predictor": {"tokens_per_second": {"1": alone / 2}}}
    assert calibrated(benchmark(tmp_path, result)).prefill_tokens_per_second == pytest.approx(
        default.prefill_tokens_per_second / 2
    )


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"predictor": {"tokens_per_second": {}}},
        {"predictor": {"tokens_per_second": {"1": 0}}},
        {"predictor": 3},
    ],
)
def test_another_file_is_no_benchmark(tmp_path: Path, document: object) -> None:
    with pytest.raises(BadBenchmark):
        calibrated(benchmark(tmp_path, document))
