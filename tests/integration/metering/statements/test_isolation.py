"""Who sees which statements, and that nobody changes one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from kat_metering.store.engine import reading
from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import got, key_of_new_tenant
from tests.fakes.statement_calls import (
    THIS_MONTH,
    close_it,
)


class TestIsolation:
    @pytest.fixture
    async def keys(self, used: httpx.AsyncClient) -> dict[str, dict[str, str]]:
        """Keys of acme, which has a statement with a credit, and of globex, which has none."""
        await close_it(used)
        credit = {"credit": "0.04", "reason": "slow day"}
        await used.post("/v1/statements/KAT-000001/adjustments", json=credit, headers=ADMIN)
        return {name: await key_of_new_tenant(used, name) for name in ("acme", "globex")}

    async def test_a_tenant_sees_its_statements(self, used: httpx.AsyncClient, keys: Any) -> None:
        assert len((await got(used, "/v1/statements", keys["acme"]))["statements"]) == 1
        assert (await got(used, "/v1/statements/KAT-000001", keys["acme"]))["tenant"] == "acme"
        assert (await got(used, "/v1/statements/draft", keys["acme"]))["total"] == "-0.04"

    async def test_a_tenant_sees_no_other_tenants_statements(self, used: httpx.AsyncClient, keys: Any) -> None:
        assert (await got(used, "/v1/statements", keys["globex"]))["statements"] == []
        for path, status in {
            "/v1/statements/KAT-000001": httpx.codes.NOT_FOUND,
            "/v1/statements?tenant=acme": httpx.codes.FORBIDDEN,
            "/v1/statements/draft?tenant=acme": httpx.codes.FORBIDDEN,
        }.items():
            assert (await used.get(path, headers=keys["globex"])).status_code == status, path

    @pytest.mark.parametrize("table", ["statement", "statement_usage", "adjustment", "discount"])
    async def test_postgres_shows_a_tenant_its_own_rows_only(
        self, used: httpx.AsyncClient, keys: Any, engine: Engine, table: str
    ) -> None:
        discount = {"percent": "10", "effective_from": THIS_MONTH.isoformat(), "reason": "volume"}
        answer = await used.post("/v1/tenants/acme/discounts", json=[discount], headers=ADMIN)
        assert answer.status_code == httpx.codes.OK, answer.text
        counted = {}
        for name in ("acme", "globex"):
            with reading(engine, name) as connection:
                counted[name] = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        assert counted == {"acme": 1, "globex": 0}


CHANGES = [
    "UPDATE statement SET total = 0",
    "DELETE FROM statement",
    "TRUNCATE statement CASCADE",
    "UPDATE statement_usage SET think = 0",
    "DELETE FROM statement_usage",
    "TRUNCATE statement_usage",
    "INSERT INTO statement_usage SELECT series, number, tenant, hour + interval '1 h', model, mode, 1, 1, 1, 1, 1, 1 FROM statement_usage",
]


@pytest.mark.parametrize("change", CHANGES)
async def test_postgres_refuses_every_change_of_what_is_closed(
    used: httpx.AsyncClient, engine: Engine, change: str
) -> None:
    await close_it(used)
    with engine.connect() as connection, pytest.raises(DBAPIError, match="what is closed never changes"):
        connection.execute(text(change))
