"""The public validator of FOCUS finds nothing wrong with an export, but for a rule that no file can satisfy.

It needs Python 3.12 and pins libraries of its own, so it lives in an environment of its own in the user's cache. It
exits 0 whatever it finds, so its report is read. It checks no arithmetic: test_focus_export.py does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock

from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, key_of_new_tenant
from tests.fakes.mixed_usage import NAME, events

# Making the environment takes a minute or more.
pytestmark = pytest.mark.timeout(900)

# A later pyarrow needs a later numpy than the validator takes.
PACKAGES = ["focus-validator==2.2.1", "pyarrow<=24"]

APPLICABLE = (
    "ACCOUNT_NAMING_SUPPORTED",
    "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "TAGGING_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "USAGE_MEASUREMENT_SUPPORTED",
)
"""What the service does, in the validator's words; without these it would skip most of its rules."""

# "InvoiceId is null" and "InvoiceId is not null" are both rules, of which one has to fail.
ALWAYS_ONE_OF = {"InvoiceId-C-004-C", "InvoiceId-C-005-C"}
RULES_THAT_APPLY = 250


def python_312() -> str | None:
    """A Python 3.12 of this machine."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which("python3.12"), *map(str, sorted(pyenv.glob("versions/3.12.*/bin/python3.12")))]
    for candidate in candidates:
        # pyenv puts a python3.12 on the path that only says which version to choose.
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


@pytest.fixture(scope="session")
def environment() -> Path:
    """The folder of an environment with the validator, kept from one run to the next."""
    python = python_312()
    if python is None:
        pytest.skip("FOCUS EXPORTS ARE NOT VALIDATED: focus-validator needs Python 3.12, and there is none here")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kat-serving"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / PACKAGES[0].replace("==", "-")
    complete = folder / "complete"
    with FileLock(f"{folder}.lock"):
        if not complete.exists():
            subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
            pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *PACKAGES], check=True)
            complete.touch()
    return folder


@pytest.fixture
def validated(environment: Path, tmp_path: Path) -> Callable[[Path], dict[str, list[str]]]:
    """`validated(file)` gives the names of rules by outcome: passed, failed, skipped."""

    def run(file: Path) -> dict[str, list[str]]:
        report = tmp_path / "report.xml"
        [packages] = environment.glob("lib/python3.12/site-packages")
        command: list[Any] = [environment / "bin" / "focus-validator", "--data-file", file, "--validate-version", "1.2"]
        command += ["--block-download", "--focus-dataset", "CostAndUsage"]
        command += ["--applicability-criteria", ",".join(APPLICABLE)]
        command += ["--output-type", "unittest", "--output-destination", report]
        # It opens its list of currencies by a path relative to where it is installed.
        done = subprocess.run(command, cwd=packages, capture_output=True, text=True, check=False)
        assert report.exists(), done.stdout + done.stderr
        outcomes: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
        for case in ET.parse(report).getroot().iter("testcase"):
            found = {child.tag for child in case}
            outcome = "failed" if found & {"failure", "error"} else "skipped" if "skipped" in found else "passed"
            outcomes[outcome].append(case.attrib["name"].partition(" ")[0])
        return outcomes

    return run


@pytest.mark.parametrize("form", ["focus-csv", "focus-parquet"])
async def test_the_validator_finds_nothing_wrong(
    client: httpx.AsyncClient,
    catch_up: Callable[[], object],
    validated: Callable[[Path], dict[str, list[str]]],
    tmp_path: Path,
    form: str,
) -> None:
    await key_of_new_tenant(client, "acme")
    await deliver(client, *events(seed=7, count=200))
    catch_up()
    answer = await client.get("/v1/exports/usage", params={"month": NAME, "format": form}, headers=ADMIN)
    file = tmp_path / f"usage.{form.removeprefix('focus-')}"
    file.write_bytes(answer.content)
    found = validated(file)
    assert len(found["failed"]) == 1, found["failed"]
    assert set(found["failed"]) <= ALWAYS_ONE_OF
    assert len(found["passed"]) >= RULES_THAT_APPLY
