"""A dump, restored on a server that never had metering, by the commands of docs/operations.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.engine import URL

from kat_metering.settings import Settings
from kat_metering.store.embedded import EmbeddedPostgres
from kat_metering.store.postgres_binaries import PostgresBinaries
from tests.fakes.folders import database_folder
from tests.fakes.metering import ADMIN, ADMIN_TOKEN, SERVICE, SERVICE_TOKEN, bearer
from tests.fakes.metering_server import metering_server
from tests.fakes.statement_calls import BEFORE, LAST, LAST_MONTH, MONTH_BEFORE, THIS_MONTH
from tests.fakes.usage_events import a_delivery, an_event

OPERATIONS: Final = Path(__file__).parents[3] / "docs" / "operations.md"
KAT: Final = Path(sys.executable).parent
WAIT_SECONDS: Final = 60
LONG_SECONDS: Final = 3_600
BATCH: Final = {**SERVICE, "Content-Type": "application/cloudevents-batch+json"}
ALL_TIME: Final = {"from": "2024-01-01", "group_by": "tenant"}
TENANTS: Final = ("acme", "globex")


@dataclass(frozen=True)
class Told:
    """What a service says of its usage and its money."""

    usage: Any
    statements: Any
    documents: list[Any]
    draft: Any
    tenants: Any
    prices: Any
    audit: Any


@dataclass(frozen=True)
class Backup:
    """A service whose database was dumped, and the server where the dump was restored."""

    told: Told
    """By the service, of what is in the dump."""
    heads: list[dict[str, Any]]
    """The file that lies beside the dump."""
    kept: list[dict[str, Any]]
    """Events that were stored before the dump."""
    lost: list[dict[str, Any]]
    """Events that were stored after it."""
    key: str
    """A key of acme's, from before."""
    revoked: str
    """One that was revoked before."""
    server: URL
    """Where it was restored, as the user of docs/operations.md."""


def commands(kind: str, first_word: str) -> str:
    """The commands of the one block of the page that begins with a word."""
    (block,) = re.findall(
        rf"^```{kind}\n({first_word} .*?)^```", OPERATIONS.read_text(), flags=re.DOTALL | re.MULTILINE
    )
    assert isinstance(block, str)
    return block


def run(script: str, folder: Path, **environment: str) -> str:
    path = os.pathsep.join([str(KAT), str(PostgresBinaries.find().folder), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": path, "KAT_HOME": str(folder), "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def plain(url: URL | str) -> str:
    """As programs of Postgres take it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def settings_of(url: URL | str, **changes: Any) -> Settings:
    return Settings(
        admin_token=SecretStr(ADMIN_TOKEN),
        service_token=SecretStr(SERVICE_TOKEN),
        database_url=SecretStr(plain(url)),
        **{"rollup_interval_seconds": 0.02, **changes},
    )


def deliver(client: httpx.Client, events: list[dict[str, Any]]) -> tuple[int, int]:
    """How many were new, and how many were known."""
    answer = client.post("/v1/events", content=a_delivery(*events), headers=BATCH)
    assert answer.is_success, answer.text
    return answer.json()["new"], answer.json()["duplicate"]


def asked(client: httpx.Client, path: str, headers: Mapping[str, str] = ADMIN, **params: str) -> Any:
    answer = client.get(path, params=params, headers=headers)
    assert answer.is_success, answer.text
    return answer.json()


def made(client: httpx.Client, path: str, body: object) -> Any:
    answer = client.post(path, json=body, headers=ADMIN)
    assert answer.is_success, answer.text
    return answer.json()


def used(month: datetime) -> list[dict[str, Any]]:
    """Usage of every tenant in a month."""
    tokens = {"prompt": 1_000, "think": 1_000_000, "answer": 333}
    return [
        an_event(at=month + timedelta(milliseconds=each), tenant=tenant, tokens=tokens)
        for each in range(3)
        for tenant in TENANTS
    ]


def usage(client: httpx.Client) -> Any:
    report = asked(client, "/v1/usage", ADMIN, **ALL_TIME)
    return {"totals": report["totals"], "rows": report["rows"]}


def rolled_up(client: httpx.Client, requests: int) -> None:
    """Returns when so many requests are in the roll-up."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := usage(client)["totals"]["requests"]) != requests:
        assert time.monotonic() < deadline, f"{found} of {requests} requests are rolled up"


def told_by(client: httpx.Client) -> Told:
    statements = asked(client, "/v1/statements")["statements"]
    draft = asked(client, "/v1/statements/draft", tenant="acme", month=LAST)
    return Told(
        usage=usage(client),
        statements=statements,
        documents=[asked(client, f"/v1/statements/{each['name']}") for each in statements],
        draft={name: value for name, value in draft.items() if name != "as_of"},
        tenants=asked(client, "/v1/tenants"),
        prices=asked(client, "/v1/prices"),
        audit=asked(client, "/v1/audit", limit="500"),
    )


@contextmanager
def serving(url: URL | str, **changes: Any) -> Iterator[httpx.Client]:
    with (
        metering_server(settings_of(url, **changes)) as address,
        httpx.Client(base_url=address, timeout=WAIT_SECONDS) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def backup(
    a_database: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backup]:
    folder = tmp_path_factory.mktemp("backup")
    with (
        a_database() as source,
        tempfile.TemporaryDirectory(prefix="kat-postgres-", dir=database_folder(), ignore_cleanup_errors=True) as other,
        EmbeddedPostgres(Path(other)) as server,
    ):
        billed = used(MONTH_BEFORE)
        open_ones = [*used(LAST_MONTH), *used(THIS_MONTH)]
        with serving(source) as client:
            for tenant in TENANTS:
                made(client, "/v1/tenants", {"id": tenant, "name": tenant.title()})
            key = made(client, "/v1/tenants/acme/keys", {})["key"]
            revoked = made(client, "/v1/tenants/acme/keys", {})
            assert client.delete(f"/v1/keys/{revoked['id']}", headers=ADMIN).is_success
            assert deliver(client, billed) == (len(billed), 0)
            rolled_up(client, len(billed))
            for tenant in TENANTS:
                made(client, "/v1/statements", {"tenant": tenant, "month": BEFORE})
            made(client, "/v1/statements/KAT-000001/adjustments", {"credit": "0.01", "reason": "a slow day"})
            assert deliver(client, open_ones) == (len(open_ones), 0)
            rolled_up(client, len(billed) + len(open_ones))
        # Stored, and in no roll-up yet: that is how a dump finds the events of the last second.
        fresh = [an_event(at=MONTH_BEFORE, tenant="acme"), an_event(at=THIS_MONTH, tenant="globex")]
        kept = [*billed, *open_ones, *fresh]
        with metering_server(settings_of(source, rollup_interval_seconds=LONG_SECONDS)) as address:
            with httpx.Client(base_url=address, timeout=WAIT_SECONDS) as client:
                assert deliver(client, fresh) == (len(fresh), 0)
            environment = {"KAT_METERING_URL": address, "KAT_ADMIN_TOKEN": ADMIN_TOKEN}
            run(commands("sh", "pg_dump"), folder, KAT_DATABASE_URL=plain(source), **environment)
        with serving(source) as client:
            rolled_up(client, len(kept))
            told = told_by(client)
            lost = [an_event(at=THIS_MONTH, tenant="acme") for _ in range(3)]
            assert deliver(client, lost) == (len(lost), 0)

        with psycopg.connect(plain(server.url), autocommit=True) as administrator:
            for statement in commands("sql", "CREATE ROLE kat LOGIN;").split(";\n"):
                administrator.execute(statement.encode())
        restored = make_url(server.url).set(username="kat", database="kat")
        run(commands("sh", "pg_restore"), folder, KAT_DATABASE_URL=plain(restored))
        heads = json.loads((folder / "kat.verified.json").read_text())["heads"]
        yield Backup(told, heads, kept, lost, key, revoked["key"], restored)


@pytest.fixture
def restored(backup: Backup) -> Iterator[str]:
    """The URL of a copy of the restored database, for one test."""
    name = f"kat_{uuid4().hex}"
    administrator = plain(backup.server.set(username="postgres", database="postgres"))
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE kat OWNER kat".encode())
    yield plain(backup.server.set(database=name))
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_reports_statements_and_the_audit_are_those_of_before(backup: Backup, restored: str) -> None:
    with serving(restored) as client:
        rolled_up(client, len(backup.kept))
        assert told_by(client) == backup.told


def test_the_statements_verify_with_the_hash_that_was_noted(backup: Backup, restored: str, tmp_path: Path) -> None:
    (head,) = backup.heads
    with metering_server(settings_of(restored)) as address:
        environment = {"KAT_METERING_URL": address, "KAT_ADMIN_TOKEN": ADMIN_TOKEN, "LAST_SHA256": head["sha256"]}
        assert "2 statements, all intact." in run(commands("sh", "kat statements verify"), tmp_path, **environment)


def test_events_that_are_delivered_again_count_once_whether_the_dump_has_them_or_not(
    backup: Backup, restored: str
) -> None:
    with serving(restored) as client:
        first = deliver(client, [*backup.kept, *backup.lost])
        second = deliver(client, [*backup.kept, *backup.lost])
        rolled_up(client, len(backup.kept) + len(backup.lost))

    assert (first, second) == ((len(backup.lost), len(backup.kept)), (0, len(backup.kept) + len(backup.lost)))


def test_the_next_statement_bills_what_it_would_have_and_continues_the_chain(backup: Backup, restored: str) -> None:
    with serving(restored) as client:
        rolled_up(client, len(backup.kept))
        statement = made(client, "/v1/statements", {"tenant": "acme", "month": LAST})

    assert (statement["number"], statement["previous_sha256"]) == (3, backup.heads[0]["sha256"])
    assert statement["lines"] == backup.told.draft["lines"]
    assert {line["kind"] for line in statement["lines"]} >= {"usage", "late_usage", "credit"}


def test_keys_open_what_they_opened(backup: Backup, restored: str) -> None:
    with serving(restored) as client:
        rolled_up(client, len(backup.kept))
        own = asked(client, "/v1/usage", bearer(backup.key), **ALL_TIME)["rows"]
        others = client.get("/v1/usage", params={"tenant": "globex"}, headers=bearer(backup.key))
        revoked = client.get("/v1/usage", headers=bearer(backup.revoked))

    assert ([row["tenant"] for row in own], others.status_code, revoked.status_code) == (["acme"], 403, 401)


def test_row_level_security_shows_a_tenant_its_own_rows(restored: str) -> None:
    with psycopg.connect(restored) as connection:
        connection.execute("SET LOCAL ROLE kat_tenant")
        connection.execute("SELECT set_config('kat.tenant', 'acme', true)")
        seen = connection.execute("SELECT DISTINCT tenant FROM usage_event").fetchall()

    assert seen == [("acme",)]


def test_what_is_closed_cannot_be_changed(restored: str) -> None:
    with psycopg.connect(restored) as connection, pytest.raises(psycopg.Error, match="what is closed never changes"):
        connection.execute("UPDATE statement SET total = 0")
