"""Pods of every part are killed at random for two minutes, under load: the books balance afterwards."""

from __future__ import annotations

import os
import random
import threading
import time

import pytest

from tests.fakes.cluster import condition
from tests.fakes.installation import Installation
from tests.fakes.pod_strikes import Part, Strikes, Way
from tests.fakes.service_change import changed, wait_settled
from tests.fakes.stream_books import new_customer, wait_delivered, wait_reported
from tools.cluster.api_client import wait_until

pytestmark = pytest.mark.timeout(2_400)

KILL_SECONDS = float(os.environ.get("KAT_TEST_KILL_SECONDS", "120"))
PAUSES = (2.0, 8.0)
"""Between two blows, in seconds."""
STREAMS = 4
SECONDS = 600
"""The kubelet waits ever longer, for minutes at last, before it starts again what was killed often."""


def all_ready(installed: Installation) -> bool:
    pods = [pod for pod in installed.pods() if pod["status"]["phase"] != "Succeeded"]
    parts = (installed.pods(part) for part in Part if part is not Part.PREDICTOR)
    return all(parts) and all(condition(pod, "Ready") == "True" for pod in pods)


def test_the_books_balance_after_pods_of_every_part_were_killed_at_random_for_two_minutes(
    installed: Installation,
) -> None:
    strikes = Strikes(installed, random.Random(7))
    with changed(installed, at=2, replicas={"min": 2, "max": 2}):
        customer = new_customer(installed, "kills")
        with customer.load(streams=STREAMS, max_tokens=16) as load:
            wait_until(lambda: load.completed, seconds=SECONDS, what="a stream has come to its end")
            end = time.monotonic() + KILL_SECONDS
            while time.monotonic() < end or len(strikes.done) < len(Part) * len(Way):
                strikes.next()
                threading.Event().wait(strikes.dice.uniform(*PAUSES))
            enough = len(load.completed) + STREAMS
            wait_until(lambda: len(load.completed) >= enough, seconds=SECONDS, what="streams come to their end again")
        wait_until(lambda: all_ready(installed), seconds=SECONDS, what="every pod is ready again")
        wait_settled(installed, 2)
        wait_delivered(installed)
        stored = customer.stored()
        wait_reported(customer, stored)

    seen = load.completed
    assert {event_id: stored.get(event_id) for event_id in seen} == seen
    # Only a killed process cuts streams: one that is told to end finishes them.
    assert len(load.cut) <= STREAMS * strikes.done[Part.PREDICTOR, Way.KILL]
    # Of what was cut the part may be stored that was done before, under the id that its client saw, if it saw any.
    others = stored.keys() - seen.keys() - {each.event_id for each in load.cut}
    assert len(others) <= load.unanswered + sum(each.event_id is None for each in load.cut)
