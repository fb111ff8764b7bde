"""Traces from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kat_operator.simulation.trace import JUDGE_TOKENS, THINK_BUDGET, BadTrace, Trace, read_trace

HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens"
ROWS = [
    "2023-11-16 18:17:03.9799600,4808,10",
    "2023-11-16 18:17:05.9799600,110,27",
    "2023-11-16 18:17:04.4799600,3180,8",
]


def write(folder: Path, rows: list[str], head: str = HEAD) -> Path:
    path = folder / "recorded.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def many(folder: Path, count: int = 400) -> Path:
    return write(folder, [f"{number * 0.5},{100 + number},{20}" for number in range(count)])


def same(one: Trace, other: Trace) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("at", "prompt_tokens", "hidden_tokens", "answer_tokens", "thinks")
    )


def test_requests_come_in_the_order_of_their_time_from_the_first(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, ROWS), passes=1)
    assert trace.at.tolist() == pytest.approx([0.0, 0.5, 2.0])
    assert trace.prompt_tokens.tolist() == [4808, 3180, 110]
    assert trace.answer_tokens.tolist() == [10, 8, 27]


def test_plain_seconds_are_times_too(tmp_path: Path) -> None:
    assert read_trace(write(tmp_path, ["10,1,1", "12.5,1,1"]), passes=1).at.tolist() == [0.0, 2.5]


def test_the_first_passes_are_warm_up(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, ROWS), passes=3)
    assert len(trace) == 9
    assert (trace.seconds, trace.warmup_seconds) == pytest.approx((9.0, 6.0))
    assert trace.at[trace.at >= trace.warmup_seconds].tolist() == pytest.approx([6.0, 6.5, 8.0])


def test_a_shorter_warm_up_leaves_the_scored_part_as_it_was(tmp_path: Path) -> None:
    trace = read_trace(many(tmp_path), passes=2)
    short = trace.with_warmup(50.0)
    assert (short.warmup_seconds, short.seconds) == pytest.approx((50.0, trace.seconds - trace.warmup_seconds + 50.0))
    scored = trace.at >= trace.warmup_seconds
    assert short.at[short.at >= 50.0] - 50.0 == pytest.approx(trace.at[scored] - trace.warmup_seconds)
    assert same(short.with_warmup(1_000.0), short)


def test_a_stretched_recording_has_the_same_requests_over_a_longer_time(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, ROWS), passes=1, stretch=10)
    assert trace.at.tolist() == pytest.approx([0.0, 5.0, 20.0])


@pytest.mark.parametrize(("intensity", "copies"), [(1, 1), (4, 4), (0.5, 0.5), (2.25, 2.25)])
def test_intensity_is_the_number_of_requests_for_each_recorded_one(
    tmp_path: Path, intensity: float, copies: float
) -> None:
    trace = read_trace(many(tmp_path), intensity=intensity, passes=1)
    assert len(trace) == pytest.approx(400 * copies, rel=0.15)


def test_copies_come_within_half_a_minute_of_their_original(tmp_path: Path) -> None:
    path = write(tmp_path, ["0,1,1", "600,777,1", "1200,1,1"])
    trace = read_trace(path, intensity=16, passes=1)
    copies = trace.at[trace.prompt_tokens == 777]
    assert len(copies) == 16
    assert np.all(np.abs(copies - 600.0) <= 30.0)


def test_every_request_judges_and_those_that_think_do_so_before_what_was_recorded(tmp_path: Path) -> None:
    trace = read_trace(many(tmp_path), passes=1, think_on_share=0.5)
    assert set(trace.answer_tokens.tolist()) == {20}
    assert set(trace.hidden_tokens[~trace.thinks].tolist()) == {JUDGE_TOKENS}
    assert np.all(trace.hidden_tokens[trace.thinks] > JUDGE_TOKENS)
    assert np.all(trace.hidden_tokens <= JUDGE_TOKENS + THINK_BUDGET)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_modes_are_drawn_with_the_given_share(tmp_path: Path, share: float) -> None:
    assert read_trace(many(tmp_path), think_on_share=share).thinks.mean() == pytest.approx(share, abs=0.05)


def test_recorded_modes_stand_and_generated_tokens_hold_the_thinking(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, ["0,9,100,on", "1,9,100,off"], HEAD + ",Mode"), passes=1)
    assert trace.thinks.tolist() == [True, False]
    assert trace.hidden_tokens.tolist() == [80, 0]
    assert trace.answer_tokens.tolist() == [20, 100]


def test_the_same_seed_draws_the_same(tmp_path: Path) -> None:
    path = many(tmp_path)
    assert same(read_trace(path, intensity=3, seed=7), read_trace(path, intensity=3, seed=7))
    assert not same(read_trace(path, intensity=3, seed=7), read_trace(path, intensity=3, seed=8))


@pytest.mark.parametrize(
    ("head", "rows", "says"),
    [
        ("a,b,c", ["0,1,1"], "columns"),
        (HEAD, [], "no requests"),
        (HEAD, ["0,1,1", "0,many,1"], "line 3"),
        (HEAD, ["yesterday,1,1"], "line 2"),
        (HEAD, ["0,1"], "line 2"),
        (HEAD + ",Mode", ["0,1,1,perhaps"], "line 2"),
    ],
)
def test_a_file_that_is_no_trace_says_why(tmp_path: Path, head: str, rows: list[str], says: str) -> None:
    with pytest.raises(BadTrace, match=says):
        read_trace(write(tmp_path, rows, head))
