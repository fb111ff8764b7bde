"""What `helm install` of the chart brings up on a real node: all of it in containers, under the chart's own rights."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import httpx
import openai
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from kat.usage_event import time_of
from kat_operator.api import SERVICE_LABEL
from tests.fakes.cluster import condition
from tests.fakes.installation import MODEL, NAMESPACE, POOL, RELEASE, SERVICE, TENANT, Installation
from tests.fakes.kat_command import kat
from tests.fakes.service_change import wait_settled
from tools.cluster.api_client import Json, wait_until

pytestmark = pytest.mark.timeout(900)
"""Whichever test comes first waits for the installation."""

SECONDS: Final = 180
"""Plenty for a pod that a busy machine starts."""
PARTS: Final = {"operator", "metering", "postgres", SERVICE}
SEGMENTS: Final = ("prompt", "prompt_cached", "judge", "think", "answer", "control")

Books = dict[str, dict[str, int]]
"""Tokens by the request's id and segment."""


def ask(client: openai.OpenAI, *, stream: bool) -> Books:
    """What the SDK is told of one request."""
    request: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 16,
    }
    if stream:
        chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
        (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
        request_id = chunks[0].id
    else:
        answer = client.chat.completions.create(**request)
        request_id, usage = answer.id, answer.usage
    return {request_id.removeprefix("chatcmpl-"): usage.model_extra["kat_segments"]}


def segments_of(row: Mapping[str, Any]) -> dict[str, int]:
    return {segment: int(row[segment]) for segment in SEGMENTS}


def part_of(pod: Json) -> str:
    """The AutoThinkService or else the part of the platform that a pod is of."""
    labels = pod["metadata"]["labels"]
    return str(labels.get(SERVICE_LABEL) or labels["app.kubernetes.io/component"])


def stored(installed: Installation, books: Books) -> Books:
    """What Postgres has of those requests."""
    query = sql.SQL("SELECT id, {} FROM usage_event WHERE id = ANY(%s::uuid[])").format(
        sql.SQL(", ").join(map(sql.Identifier, SEGMENTS))
    )
    with psycopg.connect(installed.database_url, row_factory=dict_row) as connection:
        return {str(row["id"]): segments_of(row) for row in connection.execute(query, [list(books)])}


def months(books: Books) -> set[str]:
    """In which the requests began, as YYYY-MM."""
    return {f"{time_of(UUID(request_id)):%Y-%m}" for request_id in books}


def exported(installed: Installation, books: Books) -> Books:
    """What the tenant's key gets of those requests over HTTP."""
    found: Books = {}
    for month in months(books):
        answer = httpx.get(
            f"{installed.metering_url}/v1/exports/usage",
            headers={"Authorization": f"Bearer {installed.api_key}"},
            params={"month": month, "format": "jsonl"},
            timeout=SECONDS,
        ).raise_for_status()
        rows = map(json.loads, answer.text.splitlines())
        found |= {row["id"]: segments_of(row) for row in rows if row["id"] in books}
    return found


def exported_by_command(installed: Installation, books: Books) -> Books:
    """What `kat export` writes of those requests."""
    found: Books = {}
    for month in months(books):
        text = kat("export", "--month", month, "--url", installed.metering_url, "--token", installed.api_key)
        rows = csv.DictReader(io.StringIO(text))
        found |= {row["id"]: segments_of(row) for row in rows if row["id"] in books}
    return found


@pytest.fixture(autouse=True)
def settled(installed: Installation) -> None:
    """Whatever other tests began has come to its end."""
    installed.wait_rolled_out(seconds=SECONDS)
    wait_settled(installed)


def test_every_part_runs_and_is_ready(installed: Installation) -> None:
    assert {part_of(pod) for pod in installed.pods() if condition(pod, "Ready") == "True"} == PARTS


def test_the_namespace_takes_no_pod_beyond_the_restricted_standard(installed: Installation) -> None:
    pod = {"metadata": {"generateName": "pod-"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}

    with pytest.raises(httpx.HTTPStatusError, match="violates PodSecurity"):
        installed.api.create(f"/api/v1/namespaces/{NAMESPACE}/pods", pod, dryRun="All")


def test_no_container_is_root_or_writes_to_its_image(installed: Installation) -> None:
    found = {
        part_of(pod): installed.run(
            # On one output: what comes on two need not come in the order in which it was written.
            pod,
            "sh",
            "-c",
            "exec 2>&1; grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' /proc/1/status; touch /a",
        )
        for pod in installed.pods()
    }

    for part in PARTS:
        user = 999 if part == "postgres" else 1000
        assert found[part].split("\n") == [
            f"Uid:\t{user}\t{user}\t{user}\t{user}",
            "CapEff:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
            "touch: cannot touch '/a': Read-only file system",
            "",
        ], part


def test_the_operator_acts_under_its_own_service_account(installed: Installation) -> None:
    (pod,) = installed.pods("operator")
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/kat-operator"
    made = installed.api.get(installed.services.inference_service(SERVICE, POOL))

    assert pod["spec"]["serviceAccountName"] == "kat-operator"
    wait_until(
        lambda: installed.api.get(lease)["spec"]["holderIdentity"] == pod["metadata"]["name"],
        seconds=SECONDS,
        what="the lease is the pod's",
    )
    assert [owner["name"] for owner in made["metadata"]["ownerReferences"]] == [SERVICE]


def test_helm_test_passes(installed: Installation) -> None:
    told = installed.helm.run("test", RELEASE, "--namespace", NAMESPACE)

    assert "Phase:          Succeeded" in told
    assert installed.log("kat-test").splitlines() == [
        "ready: 200, wanted 200",
        "directory for predictors: 200, wanted 200",
        "directory for others: 401, wanted 401",
    ]


def test_what_the_openai_sdk_is_told_is_in_postgres_and_in_the_tenants_export(installed: Installation) -> None:
    with openai.OpenAI(base_url=f"{installed.url}/v1", api_key=installed.api_key, timeout=SECONDS) as client:
        told = ask(client, stream=False) | ask(client, stream=True)

    wait_until(lambda: stored(installed, told) == told, seconds=SECONDS, what="the usage in Postgres")
    assert exported(installed, told) == told
    assert exported_by_command(installed, told) == told


def test_an_upgrade_migrates_the_database_by_a_job_and_keeps_the_service(installed: Installation) -> None:
    before = installed.services.get(SERVICE)["metadata"]["uid"]

    installed.upgrade()

    (hook,) = [each for each in installed.release()["hooks"] if each["name"] == "kat-migrations"]
    assert hook["last_run"]["phase"] == "Succeeded"
    assert installed.services.get(SERVICE)["metadata"]["uid"] == before


def test_the_trial_database_finds_its_files_again_in_a_new_pod(installed: Installation) -> None:
    """Its volume's files are given to the pod's group anew, and Postgres wants them for itself."""
    (pod,) = installed.pods("postgres")
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}"

    installed.api.delete(path)

    def is_back() -> bool:
        return any(
            each["metadata"]["uid"] != pod["metadata"]["uid"] and condition(each, "Ready") == "True"
            for each in installed.pods("postgres")
        )

    wait_until(is_back, seconds=SECONDS, what=f"{path} is another and ready")
    wait_until(lambda: TENANT in installed.tenants(), seconds=SECONDS, what=f"{TENANT} is known")
