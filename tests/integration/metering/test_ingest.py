"""Deliveries over HTTP: each event once, whatever comes with it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from sqlalchemy import Engine, func, select, text

from kat.usage_event import new_event_id, time_of
from kat_metering.store.tables import dead_letter, usage_event
from tests.fakes.metering import SERVICE
from tests.fakes.stored_events import insert_event
from tests.fakes.usage_events import a_delivery, an_event


async def send(client: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await client.post(
        "/v1/events", content=body, headers={**SERVICE, "Content-Type": "application/cloudevents-batch+json"}
    )


async def acknowledged(client: httpx.AsyncClient, *events: object) -> dict[str, Any]:
    answer = await send(client, a_delivery(*events))
    assert answer.status_code == httpx.codes.OK, answer.text
    found: dict[str, Any] = answer.json()
    return found


def stored_ids(engine: Engine) -> list[UUID]:
    with engine.connect() as connection:
        return list(connection.execute(select(usage_event.c.id).order_by(usage_event.c.id)).scalars())


def letters(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(dead_letter).order_by(dead_letter.c.id)))


async def test_an_event_is_stored_with_every_field(client: httpx.AsyncClient, engine: Engine) -> None:
    key = new_event_id()
    event = an_event(api_key_id=str(key), project="search", labels={"task": "humaneval", "team": "红"})
    await acknowledged(client, event)
    with engine.connect() as connection:
        row = dict(connection.execute(select(usage_event)).mappings().one())
    assert row.pop("stored_at") <= datetime.now(UTC)
    assert row.pop("stored_xid")
    assert str(row.pop("engine_seconds")) == "0.1"
    assert row == {
        "id": UUID(event["id"]),
        "occurred_at": time_of(UUID(event["id"])),
        "tenant": "acme",
        "api_key_id": key,
        "project": "search",
        "model": "KAT-V1-40B",
        "mode": "on",
        "mode_source": "model",
        "status": "ok",
        "finish_reason": "stop",
        **event["data"]["tokens"],
        "ttft_ms": 80.5,
        "ttfa_ms": 2500.25,
        "duration_ms": 3000.125,
        "task": "humaneval",
        "labels": {"task": "humaneval", "team": "红"},
        "source": "predictor-0:8080",
    }


async def test_what_an_aborted_request_does_not_know_stays_unknown(client: httpx.AsyncClient, engine: Engine) -> None:
    event = an_event(mode="undecided", status="aborted", finish_reason=None, ttft_ms=None, ttfa_ms=None)
    assert (await acknowledged(client, event))["new"] == 1
    with engine.connect() as connection:
        row = connection.execute(select(usage_event)).one()
    assert (row.mode, row.status, row.finish_reason, row.ttft_ms, row.ttfa_ms, row.api_key_id) == (
        "undecided", "aborted", None, None, None, None,
    )  # fmt: skip


async def test_the_same_delivery_sent_twice_counts_once(client: httpx.AsyncClient, engine: Engine) -> None:
    events = [an_event() for _ in range(20)]
    assert await acknowledged(client, *events) == {"new": 20, "duplicate": 0, "rejected": 0, "rejections": []}
    assert await acknowledged(client, *events) == {"new": 0, "duplicate": 20, "rejected": 0, "rejections": []}
    assert len(stored_ids(engine)) == 20


async def test_an_event_twice_in_one_delivery_counts_once(client: httpx.AsyncClient, engine: Engine) -> None:
    event = an_event()
    answer = await acknowledged(client, event, an_event(), event)
    assert (answer["new"], answer["duplicate"]) == (2, 1)
    assert len(stored_ids(engine)) == 2


async def test_a_delivery_partly_known_stores_the_rest(client: httpx.AsyncClient, engine: Engine) -> None:
    known, fresh = [an_event() for _ in range(3)], [an_event() for _ in range(4)]
    await acknowledged(client, *known)
    answer = await acknowledged(client, *fresh, *known)
    assert (answer["new"], answer["duplicate"]) == (4, 3)
    assert len(stored_ids(engine)) == 7


async def test_deliveries_that_share_events_in_opposite_order_neither_deadlock_nor_double_count(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    events = [an_event() for _ in range(300)]
    orders = [events, events[::-1], events[150:] + events[:150], events[::2] + events[1::2]] * 3
    answers = await asyncio.gather(*(acknowledged(client, *order) for order in orders))
    assert sum(answer["new"] for answer in answers) == 300
    assert sum(answer["duplicate"] for answer in answers) == 300 * (len(orders) - 1)
    assert len(stored_ids(engine)) == 300


async def test_a_delivery_that_waits_for_another_holds_nothing_that_the_other_comes_to(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    first, second = an_event(), an_event()
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with engine.begin() as other, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
        insert_event(other, first)
        delivery = asyncio.create_task(acknowledged(client, second, first))
        async with asyncio.timeout(60):
            while not watcher.execute(waiting).scalar_one():  # noqa: ASYNC110 - Postgres can only be polled
                await asyncio.sleep(0.01)
        # In the order it was sent, the delivery would hold `second` by now: a deadlock.
        await asyncio.to_thread(insert_event, other, second)
    assert (await delivery)["duplicate"] == 2
    assert len(stored_ids(engine)) == 2


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda event: event["data"]["tokens"].update(think=-1), "data.tokens.think"),
        (lambda event: event["data"]["tokens"].update(answer=2**63), "data.tokens.answer"),
        (lambda event: event["data"]["tokens"].update(answer=2**62), "data.tokens"),
        (lambda event: event["data"]["tokens"].update(answer="many"), "data.tokens.answer"),
        (lambda event: event["data"]["tokens"].update(dreams=1), "data.tokens.dreams"),
        (lambda event: event["data"].update(mode="auto"), "data.mode"),
        (lambda event: event["data"].update(model="a\x00b"), "data.model"),
        (lambda event: event["data"].update(finish_reason="a\x00b"), ""),
        (lambda event: event["data"].update(duration_ms=1e300), "data"),
        (lambda event: event["data"].update(prompt_text="who are you"), "data.prompt_text"),
        (lambda event: event["data"].update(labels={f"k{i}": "v" for i in range(9)}), "data.labels"),
        (lambda event: event.update(subject="another"), "subject"),
        (lambda event: event.update(id="42"), "id"),
        (lambda event: event.update(id="8c5b2c1e-6f0a-4a63-9a0e-0d8a4f8f7a11"), "UUIDv7"),
        (lambda event: event.pop("time"), "time"),
        (lambda event: event.update(type="dev.autothink.usage.v2"), "type"),
    ],
)
async def test_a_bad_event_is_kept_with_its_reason_and_fails_no_other(
    client: httpx.AsyncClient, engine: Engine, spoil: Any, field: str
) -> None:
    good, bad = [an_event(), an_event()], an_event()
    spoil(bad)
    answer = await acknowledged(client, good[0], bad, good[1])
    assert (answer["new"], answer["duplicate"], answer["rejected"]) == (2, 0, 1)
    (rejection,) = answer["rejections"]
    assert (rejection["index"], rejection["id"]) == (1, bad["id"])
    assert field in rejection["reason"]
    assert stored_ids(engine) == sorted(UUID(event["id"]) for event in good)
    (letter,) = letters(engine)
    assert (letter.event_id, letter.reason) == (bad["id"], rejection["reason"])
    assert orjson.loads(letter.body) == bad


async def test_half_a_surrogate_pair_spoils_its_own_event_only(client: httpx.AsyncClient, engine: Engine) -> None:
    body = orjson.dumps([an_event(project="HERE"), an_event()]).replace(b"HERE", rb"\ud83d")
    answer = (await send(client, body)).json()
    assert (answer["new"], answer["rejected"]) == (1, 1)
    (letter,) = letters(engine)
    assert r"\ud83d" in letter.body


@pytest.mark.parametrize("item", [None, 7, "event", [], {}])
async def test_what_is_no_event_at_all_is_rejected_by_its_place(
    client: httpx.AsyncClient, engine: Engine, item: object
) -> None:
    answer = await acknowledged(client, an_event(), item)
    assert answer["rejections"][0]["index"] == 1
    assert answer["rejections"][0]["id"] is None
    assert len(stored_ids(engine)) == 1


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (datetime.now(UTC) + timedelta(days=2), "future"),
        (datetime(9000, 1, 1, tzinfo=UTC), "future"),
        (datetime.now(UTC) - timedelta(days=401), "long ago"),
        (datetime(1970, 1, 1, tzinfo=UTC), "long ago"),
    ],
    ids=["in two days", "in 7000 years", "401 days ago", "at the epoch"],
)
async def test_an_implausible_time_is_rejected(
    client: httpx.AsyncClient, engine: Engine, at: datetime, why: str
) -> None:
    answer = await acknowledged(client, an_event(at=at), an_event())
    assert (answer["new"], answer["rejected"]) == (1, 1)
    assert why in answer["rejections"][0]["reason"]
    assert len(letters(engine)) == 1


async def test_an_event_before_the_platform_is_rejected_however_old_events_may_be(serve: Any) -> None:
    async with serve(max_event_age_days=10_000) as client:
        answer = await acknowledged(client, an_event(at=datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC)))
    assert answer["rejected"] == 1


async def test_a_late_event_gets_the_partition_of_its_month(client: httpx.AsyncClient, engine: Engine) -> None:
    late = [an_event(at=datetime.now(UTC) - timedelta(days=days)) for days in (395, 200, 150)]
    assert (await acknowledged(client, an_event(), *late))["new"] == 4
    assert len(stored_ids(engine)) == 4


async def test_a_delivery_may_hold_everything_at_once(client: httpx.AsyncClient, engine: Engine) -> None:
    """Known events, one of a month without its partition, one that Postgres refuses, and new ones."""
    known, fresh = an_event(), an_event()
    late = an_event(at=datetime.now(UTC) - timedelta(days=300))
    refused = an_event(finish_reason="a\x00b")
    await acknowledged(client, known)
    answer = await acknowledged(client, fresh, known, refused, late)
    assert (answer["new"], answer["duplicate"], answer["rejected"]) == (2, 1, 1)
    assert answer["rejections"][0]["index"] == 2
    assert stored_ids(engine) == sorted(UUID(event["id"]) for event in (known, fresh, late))


@pytest.mark.parametrize("text", ["tab\there", "line\nbreak", "back\\slash \\N", "\r\n", "\\.", "红\u2028"])
async def test_texts_are_stored_as_they_were_sent(client: httpx.AsyncClient, engine: Engine, text: str) -> None:
    await acknowledged(
        client, an_event(tenant=text, project=text, model=text, finish_reason=text, labels={"task": text})
    )
    with engine.connect() as connection:
        row = connection.execute(select(usage_event)).one()
    assert (row.tenant, row.project, row.model, row.finish_reason, row.task, row.labels) == (
        text, text, text, text, text, {"task": text},
    )  # fmt: skip


async def test_a_rejected_event_sent_twice_leaves_one_letter(client: httpx.AsyncClient, engine: Engine) -> None:
    bad = an_event(mode="auto")
    for _ in range(2):
        assert (await acknowledged(client, bad, bad))["rejected"] == 2
    assert len(letters(engine)) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"[NaN]", 400),
        (b"{}", 400),
        (b'"events"', 400),
        (b"[]", 400),
        (b'[{"id": "\xff\xfe"}]', 400),
        (b"\xef\xbb\xbf[]", 400),
        (orjson.dumps([{}] * 1001), 413),
        (b"[" + b" " * 10_000_000 + b"]", 413),
    ],
    ids=["empty", "cut", "deep", "nan", "object", "string", "no event", "not UTF-8", "BOM", "1001 events", "10 MB"],
)
async def test_a_body_that_cannot_be_a_delivery_is_refused_whole(
    client: httpx.AsyncClient, engine: Engine, body: bytes, status: int
) -> None:
    answer = await send(client, body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(dead_letter)).scalar_one() == 0


async def test_a_body_of_undeclared_length_is_cut_off_at_the_limit(serve: Any) -> None:
    async def endless() -> Any:
        for _ in range(64):
            yield b" " * 1_024

    async with serve(metering_max_body_bytes=16_384) as client:
        answer = await client.post("/v1/events", content=endless(), headers=SERVICE)
    assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_thousand_events_are_one_delivery(client: httpx.AsyncClient, engine: Engine) -> None:
    assert (await acknowledged(client, *(an_event() for _ in range(1_000))))["new"] == 1_000
    assert len(stored_ids(engine)) == 1_000


async def test_what_became_of_events_is_counted(client: httpx.AsyncClient) -> None:
    event = an_event()
    await acknowledged(client, event, event, an_event(), an_event(mode="auto"))
    lines = (await client.get("/metrics")).text.splitlines()
    assert 'kat_metering_events_total{result="new"} 2.0' in lines
    assert 'kat_metering_events_total{result="duplicate"} 1.0' in lines
    assert 'kat_metering_events_total{result="rejected"} 1.0' in lines
    assert "kat_metering_ingest_lag_seconds_count 3.0" in lines
