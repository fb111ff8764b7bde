"""Two operators of one cluster: one acts, the other takes over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.cluster import SECONDS, MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess
from tools.cluster.api_client import wait_until

MakeOperator = Callable[..., OperatorProcess]


@pytest.fixture
def leader(make_operator: MakeOperator) -> OperatorProcess:
    leader = make_operator(KAT_OPERATOR_IDENTITY="first")
    leader.start()
    wait_until(lambda: leader.leads, seconds=SECONDS, what="the first operator leads")
    return leader


@pytest.fixture
def standby(make_operator: MakeOperator, leader: OperatorProcess) -> OperatorProcess:
    standby = make_operator(KAT_OPERATOR_IDENTITY="second")
    standby.start()
    return standby


def test_of_two_operators_one_acts(
    leader: OperatorProcess, standby: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool()))
    services.wait_ready("kat", 1)

    assert (leader.leads, standby.leads) == (True, False)
    assert standby.metric("kat_operator_reconcile_seconds_count") == 0


def test_an_operator_that_ends_hands_over_at_once(
    leader: OperatorProcess, standby: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    leader.stop()
    wait_until(lambda: standby.leads, seconds=10, what="the second operator leads")
    services.create(a_service("kat", make_pool()))

    services.wait_ready("kat", 1)


def test_an_operator_that_is_killed_is_replaced_when_its_lease_has_run_out(
    leader: OperatorProcess, standby: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    leader.kill()
    services.create(a_service("kat", make_pool()))

    services.wait_ready("kat", 1)

    assert standby.leads
