"""What `helm test` runs, on a metering service that runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kat.processes import port_or_free
from tests.fakes.helm import SECRETS, Helm
from tests.fakes.metering import SERVICE_TOKEN
from tests.fakes.metering_process import metering_process

Check = Callable[..., int]


@pytest.fixture(scope="module")
def metering() -> Iterator[str]:
    with metering_process() as service:
        yield service.url


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Exit code of the test pod's own command."""
    (pod,) = [each for each in Helm(tmp_path).render(values=SECRETS) if each["kind"] == "Pod"]
    command = pod["spec"]["containers"][0]["command"]

    def check(url: str, token: str) -> int:
        env = {"PATH": os.environ["PATH"], "METERING": url, "SERVICE_TOKEN": token}
        return subprocess.run(command, env=env, check=False, timeout=60).returncode

    return check


def test_it_passes_where_metering_serves_predictors(metering: str, check: Check) -> None:
    assert check(metering, SERVICE_TOKEN) == 0


def test_it_fails_where_the_predictors_token_is_another(metering: str, check: Check) -> None:
    assert check(metering, "another-token-of-predictors") == 1


def test_it_fails_where_nobody_answers(check: Check) -> None:
    assert check(f"http://127.0.0.1:{port_or_free(0)}", SERVICE_TOKEN) == 1
