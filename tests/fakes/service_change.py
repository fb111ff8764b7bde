"""A change of the installation's AutoThinkService for one test: made, waited for, and taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from tests.fakes.cluster import condition
from tests.fakes.installation import SERVICE, Installation
from tests.fakes.stream_books import predictors
from tools.cluster.api_client import Json, wait_until

SECONDS: Final = 420
"""Plenty for three replicas to be replaced on a busy machine."""


@contextmanager
def changed(installed: Installation, *, at: int, **spec: Mapping[str, Any]) -> Iterator[None]:
    """Objects of the spec with other values in them, once `at` replicas serve with these and no others are left.

    The values that were there are put back at the end, and waited for, too.
    """
    before = installed.services.get(SERVICE)["spec"]
    installed.services.change(SERVICE, **spec)
    try:
        wait_settled(installed, at)
        yield
    finally:
        old = {name: {**dict.fromkeys(changes), **before.get(name, {})} for name, changes in spec.items()}
        installed.services.change(SERVICE, **old)
        wait_settled(installed)


def wait_settled(installed: Installation, replicas: int | None = None) -> None:
    """Until the service has the replicas that it asks for, these many, all of one template and none on its way out."""

    def settled() -> bool:
        found = installed.services.get(SERVICE)
        status = found.get("status", {})
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return False
        asked, pods = status.get("replicas"), predictors(installed)
        return (
            replicas in {None, asked}
            and asked == status.get("readyReplicas") == len(pods)
            and (condition(found, "Ready"), condition(found, "Progressing")) == ("True", "False")
            and len({_template(pod) for pod in pods}) <= 1
            and all(condition(pod, "Ready") == "True" and "deletionTimestamp" not in pod["metadata"] for pod in pods)
        )

    wait_until(settled, seconds=SECONDS, what=f"{SERVICE} has settled at {replicas or 'its'} replicas")


def _template(pod: Json) -> str:
    return str(pod["metadata"]["labels"]["pod-template-hash"])
