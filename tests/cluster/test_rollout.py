"""A new template on its way to the replicas: how many serve meanwhile, and what is told of it."""

from __future__ import annotations

from kat_operator.api import POOL_LABEL
from kat_operator.resources import TEMPLATE_LABEL
from tests.fakes.cluster import MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess
from tools.cluster.api_client import wait_until

SLOW = "predictor:ready-after-1s"
ROLLOUT_SECONDS = 120


class Watched:
    """What was seen of a service while its image changed."""

    def __init__(self, services: Services, replicas: int) -> None:
        self.services = services
        self.replicas = replicas
        self.fewest_ready = replicas
        self.reasons: set[str | None] = set()
        self.mixed_at_once = 0
        """Pools, at most, that had pods of more than one template at the same time."""

    def done(self) -> bool:
        pods = self.services.pods("kat")
        self.fewest_ready = min(self.fewest_ready, len(self.services.ready_pods("kat")))
        self.reasons.add(self.services.told("kat", "Progressing")[1])
        templates: dict[str, set[str]] = {}
        for pod in pods:
            labels = pod["metadata"]["labels"]
            templates.setdefault(labels[POOL_LABEL], set()).add(labels[TEMPLATE_LABEL])
        self.mixed_at_once = max(self.mixed_at_once, sum(len(found) > 1 for found in templates.values()))
        new = [pod for pod in self.services.ready_pods("kat") if pod["spec"]["containers"][0]["image"] == SLOW]
        return len(pods) == len(new) == self.replicas


def change_image(services: Services, replicas: int) -> Watched:
    """Change it, and watch until all replicas have the new one."""
    watched = Watched(services, replicas)
    services.change("kat", model={"image": SLOW})
    wait_until(watched.done, seconds=ROLLOUT_SECONDS, what="every replica has the new image")
    return watched


def test_no_capacity_is_lost_where_a_node_can_hold_one_replica_more(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(3), replicas={"min": 2, "max": 2}))
    services.wait_ready("kat", 2)

    watched = change_image(services, 2)

    assert watched.fewest_ready == 2
    assert "Surging" in watched.reasons


def test_a_full_pool_rolls_one_replica_at_a_time_and_says_why(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(3), replicas={"min": 3, "max": 3}))
    services.wait_ready("kat", 3)

    watched = change_image(services, 3)

    assert watched.fewest_ready == 2
    assert "NoCapacityToSurge" in watched.reasons
    services.wait_told("kat", "Progressing", "False", "Settled")


def test_pools_roll_one_after_the_other(operator: OperatorProcess, services: Services, make_pool: MakePool) -> None:
    services.create(a_service("kat", make_pool(2), make_pool(2), replicas={"min": 4, "max": 4}))
    services.wait_ready("kat", 4)

    watched = change_image(services, 4)

    assert watched.mixed_at_once == 1
    assert watched.fewest_ready == 3


def test_pods_that_the_template_does_not_concern_stay(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(3), replicas={"min": 2, "max": 2}))
    services.wait_ready("kat", 2)
    before = {pod["metadata"]["uid"] for pod in services.pods("kat")}

    services.change("kat", disruption={"maxUnavailable": 2}, replicas={"min": 3, "max": 3})

    services.wait_ready("kat", 3)
    assert before <= {pod["metadata"]["uid"] for pod in services.pods("kat")}
