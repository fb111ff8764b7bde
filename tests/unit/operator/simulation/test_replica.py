"""One replica: when requests begin and end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_operator.simulation.hardware import Hardware
from kat_operator.simulation.replica import Phase, Replica, Request

# A hundred tokens a second alone or together, a thousand prompt tokens a second, steps of ten prompt tokens.
PLAIN = Hardware(
    concurrency=(1.0, 100.0),
    tokens_per_second=(100.0, 100.0),
    prefill_tokens_per_second=1_000.0,
    chunk_tokens=10,
    kv_tokens=10_000,
    max_concurrent=4,
    max_queued=2,
)


def started(hardware: Hardware = PLAIN) -> Replica:
    replica = Replica("one", hardware, asked_at=0.0, ready_at=0.0)
    replica.phase = Phase.READY
    return replica


def request(at: float = 0.0, *, prompt: int = 100, hidden: int = 10, answer: int = 11) -> Request:
    return Request(at, prompt, hidden, answer, thinks=False)


def send(replica: Replica, asked: Request) -> bool:
    run(replica, until=asked.at)
    replica.advance(asked.at)
    return replica.accept(asked)


def run(replica: Replica, until: float = 1e9) -> None:
    while replica.next_event <= until:
        replica.handle(replica.next_event)


def test_a_lone_request_takes_its_prompt_and_then_its_tokens() -> None:
    replica, asked = started(), request()
    send(replica, asked)
    run(replica)
    # 100 prompt tokens at 1,000/s give the first token; ten more are hidden, the answer has ten after its first.
    assert (asked.first_token, asked.first_answer, asked.ended) == pytest.approx((0.1, 0.2, 0.3))


def test_requests_that_generate_share_the_throughput() -> None:
    replica = started(replace(PLAIN, prefill_tokens_per_second=1e9, chunk_tokens=10**6))
    both = [request(), request()]
    for asked in both:
        send(replica, asked)
    run(replica)
    assert [asked.ended for asked in both] == pytest.approx([0.4, 0.4], rel=1e-3)


def test_a_prompt_that_is_read_slows_those_that_generate() -> None:
    replica = started()
    first, second = request(), request(0.1, prompt=100)
    send(replica, first)
    send(replica, second)
    run(replica)
    # A step reads ten tokens in 10 ms and generates one in another 10: 0.2 s for the second prompt, ten tokens.
    assert second.first_token == pytest.approx(0.3)
    assert first.first_answer == pytest.approx(0.3)


def test_one_that_comes_while_the_replica_is_full_waits_for_the_first_to_end() -> None:
    replica = started(replace(PLAIN, max_concurrent=1))
    first, second = request(), request(0.05)
    send(replica, first)
    send(replica, second)
    assert len(replica.waiting) == 1
    run(replica)
    assert second.first_token == pytest.approx(first.ended + 0.1)


def test_a_full_queue_refuses() -> None:
    replica = started(replace(PLAIN, max_concurrent=1, max_queued=1))
    assert [send(replica, request()) for _ in range(3)] == [True, True, False]


def test_a_request_that_could_never_fit_is_refused() -> None:
    assert not send(started(), request(prompt=20_000))


def test_a_request_waits_for_room_in_the_kv_cache_though_places_are_free() -> None:
    replica = started(replace(PLAIN, kv_tokens=150))
    first, second = request(), request()
    send(replica, first)
    send(replica, second)
    assert replica.running == 1
    run(replica)
    assert second.first_token >= first.ended


def test_requests_start_in_the_order_in_which_they_came() -> None:
    replica = started(replace(PLAIN, kv_tokens=400, max_queued=10))
    large, small = request(prompt=350), request(prompt=1)
    for asked in (request(), large, small):
        send(replica, asked)
    run(replica)
    assert small.first_token > large.first_token


requests = st.lists(
    st.tuples(st.floats(0, 20), st.integers(1, 4_000), st.integers(0, 200), st.integers(1, 200)),
    min_size=1,
    max_size=40,
)


@given(requests)
def test_the_kv_cache_is_never_overfull_and_every_accepted_request_ends(
    drawn: list[tuple[float, int, int, int]],
) -> None:
    replica = started(replace(PLAIN, max_queued=8))
    accepted = []
    for at, prompt, hidden, answer in sorted(drawn):
        asked = request(at, prompt=prompt, hidden=hidden, answer=answer)
        if send(replica, asked):
            accepted.append(asked)
        assert 0 <= replica.kv_tokens <= PLAIN.kv_tokens
        assert replica.running <= PLAIN.max_concurrent
        assert replica.load == replica.running + len(replica.waiting)
    while replica.next_event < float("inf"):
        replica.handle(replica.next_event)
        assert 0 <= replica.kv_tokens <= PLAIN.kv_tokens
    assert replica.load == replica.kv_tokens == replica.waiting_tokens == 0
    for asked in accepted:
        assert asked.at < asked.first_token <= asked.first_answer <= asked.ended
        assert asked.first_token - asked.at >= asked.prompt_tokens / 1_000.0 - 1e-6


def test_mean_time_is_that_of_a_processor_sharing_queue() -> None:
    """M/M/1-PS (L. Kleinrock, Queueing Systems II, 1976): a mean time of S / (1 - utilisation)."""
    hardware = replace(PLAIN, max_concurrent=1_000, kv_tokens=10**9, prefill_tokens_per_second=1e12, chunk_tokens=10**6)
    replica, rng = started(hardware), np.random.default_rng(1)
    at = np.cumsum(rng.exponential(1 / 0.6, 20_000))
    tokens = np.ceil(rng.exponential(100, 20_000)).astype(int)
    sent = [request(float(t), prompt=1, hidden=0, answer=int(n) + 1) for t, n in zip(at, tokens, strict=True)]
    for asked in sent:
        send(replica, asked)
    run(replica)
    service, load = tokens.mean() / 100.0, 0.6 * tokens.mean() / 100.0
    assert np.mean([asked.ended - asked.at for asked in sent]) == pytest.approx(service / (1 - load), rel=0.07)
