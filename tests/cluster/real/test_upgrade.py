"""`helm upgrade` of all parts at once, while clients stream."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.installation import SERVICE, Installation
from tests.fakes.service_change import changed, wait_settled
from tests.fakes.stream_books import new_customer, wait_delivered, wait_reported
from tools.cluster.api_client import wait_until

pytestmark = pytest.mark.timeout(1_800)

SECONDS = 420
STREAMS = 3


def upgrade_of_everything(installed: Installation) -> dict[str, Any]:
    """Changes of the values that give operator, metering and predictors new pods."""
    parts = {
        part: {**installed.values[part], "podAnnotations": {"example.org/upgraded": "true"}}
        for part in ("operator", "metering")
    }
    services = installed.values["services"]
    # Any setting of the predictor will do that changes nothing here.
    service = {**services[SERVICE], "settings": {"KAT_MAX_BODY_BYTES": "4000000"}}
    return {**parts, "services": {**services, SERVICE: service}}


def names(installed: Installation) -> set[str]:
    """Of the pods of the three parts."""
    pods = [*installed.pods("operator"), *installed.pods("metering"), *installed.services.pods(SERVICE)]
    return {pod["metadata"]["name"] for pod in pods}


def test_an_upgrade_of_every_part_under_load_loses_no_request_and_no_event(installed: Installation) -> None:
    with changed(installed, at=1, replicas={"min": 1, "max": 1}):
        customer = new_customer(installed, "upgrade")
        before = names(installed)
        try:
            with customer.load(streams=STREAMS, max_tokens=16) as load:
                wait_until(lambda: len(load.streams) >= STREAMS, seconds=SECONDS, what="streams come to their end")
                installed.upgrade(upgrade_of_everything(installed))
                wait_until(lambda: not before & names(installed), seconds=SECONDS, what="every pod is a new one")
                wait_settled(installed)
                enough = len(load.streams) + STREAMS
                wait_until(lambda: len(load.streams) >= enough, seconds=SECONDS, what="streams of the new pods end")
            wait_delivered(installed)

            assert [*load.cut, *load.refused] == []
            stored = customer.stored()
            assert stored == load.completed
            wait_reported(customer, stored)
        finally:
            installed.upgrade()
