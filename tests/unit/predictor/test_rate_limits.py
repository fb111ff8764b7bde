"""Token buckets by an injected clock."""

from __future__ import annotations

import pytest

from kat.directory import Limits
from kat_predictor.rate_limits import RateLimits, TokenBucket


def test_a_full_bucket_gives_a_minutes_worth_at_once() -> None:
    bucket = TokenBucket(60, now=0)
    bucket.take(60, now=0)
    assert bucket.wait_for(1, now=0) == pytest.approx(1)


def test_a_bucket_fills_evenly() -> None:
    bucket = TokenBucket(60, now=0)
    bucket.take(60, now=0)
    assert bucket.wait_for(30, now=20) == pytest.approx(10)


def test_a_bucket_never_holds_more_than_a_minutes_worth() -> None:
    bucket = TokenBucket(60, now=0)
    bucket.take(60, now=3_600)
    assert bucket.wait_for(1, now=3_600) > 0


def test_an_overdrawn_bucket_makes_the_next_request_wait_for_the_debt() -> None:
    bucket = TokenBucket(60, now=0)
    bucket.take(90, now=0)
    assert bucket.wait_for(10, now=0) == pytest.approx(40)


def test_a_request_larger_than_the_bucket_waits_for_a_full_one() -> None:
    bucket = TokenBucket(60, now=0)
    assert bucket.wait_for(10_000, now=0) == 0


def test_a_lowered_limit_holds_at_once() -> None:
    bucket = TokenBucket(600, now=0)
    bucket.take(300, now=0)
    bucket.resize(60, now=0)
    assert bucket.wait_for(1, now=0) > 0


def test_a_raised_limit_gives_room_at_once() -> None:
    bucket = TokenBucket(60, now=0)
    bucket.take(60, now=0)
    bucket.resize(600, now=0)
    assert bucket.wait_for(540, now=0) == 0


def test_without_limits_nothing_ever_waits() -> None:
    rates = RateLimits()
    rates.follow(Limits(), now=0)
    rates.take(10**9, now=0)
    assert (rates.wait_for_request(now=0), rates.wait_for_tokens(10**9, now=0)) == (0, 0)


def test_what_was_undone_was_never_taken() -> None:
    rates = RateLimits()
    rates.follow(Limits(requests_per_minute=1, tokens_per_minute=100), now=0)
    rates.take(100, now=0)
    rates.undo(100, now=0)
    assert (rates.wait_for_request(now=0), rates.wait_for_tokens(100, now=0)) == (0, 0)


def test_a_limit_that_is_lifted_is_gone() -> None:
    rates = RateLimits()
    rates.follow(Limits(requests_per_minute=1), now=0)
    rates.take(1, now=0)
    rates.follow(Limits(), now=0)
    assert rates.wait_for_request(now=0) == 0
