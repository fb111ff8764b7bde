"""Load raises the number of real replicas, and they fall again under what load is left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.fakes.installation import SERVICE, Installation
from tests.fakes.service_change import wait_settled
from tests.fakes.stream_books import new_customer, wait_delivered, wait_reported
from tools.cluster.api_client import wait_until
from tools.cluster.errors import NotReady

pytestmark = pytest.mark.timeout(1_800)

SECONDS: Final = 300
TOKENS: Final = 64
"""Of an answer: a client is then busy with its stream and hardly with starting the next, however fast the machine."""


def test_load_raises_replicas_from_one_to_three_and_lets_them_fall_while_no_stream_is_cut(
    installed: Installation,
) -> None:
    wait_settled(installed, 1)
    customer = new_customer(installed, "scaling")

    with customer.load(streams=2, spread=True, max_tokens=TOKENS, seed=1) as low:
        with customer.load(streams=14, spread=True, max_tokens=TOKENS, seed=2) as high, status_told(installed):
            wait_until(
                lambda: len(installed.services.ready_pods(SERVICE)) == 3, seconds=SECONDS, what="3 replicas ready"
            )
            wait_until(lambda: len(customer.sources()) == 3, seconds=SECONDS, what="all three have served")
        # Streams run on while the fleet gets smaller around them.
        wait_settled(installed, 1)
    wait_delivered(installed)

    assert [*low.cut, *low.refused, *high.cut, *high.refused] == []
    stored = customer.stored()
    assert stored == low.completed | high.completed
    wait_reported(customer, stored)


@contextmanager
def status_told(installed: Installation) -> Iterator[None]:
    """A wait that ends in vain says what the operator made of the load."""
    try:
        yield
    except NotReady as error:
        error.add_note(json.dumps(installed.services.get(SERVICE)["status"], indent=2))
        raise
