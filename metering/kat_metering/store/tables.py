"""The tables of metering (SQLAlchemy Core). `usage_event` is the only truth; every count can be rebuilt from it.

Money and engine seconds are NUMERIC, so that sums are exact in any order. Tenants, keys and models in usage carry no
foreign key: what a deleted tenant used stays true.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

TENANT_ROLE: Final = "kat_tenant"
"""The Postgres role that reads on behalf of a tenant's key: row-level security shows it that tenant's rows only."""
ADMIN_ROLE: Final = "kat_admin"
"""The Postgres role of administrators' requests: changes what they may change, and nothing of usage or of the audit."""
INGEST_ROLE: Final = "kat_ingest"
"""The Postgres role that stores events: adds, and changes nothing."""
TENANT_SETTING: Final = "kat.tenant"
"""The Postgres setting that names the tenant to the row-level security policies."""
NO_API_KEY: Final = UUID(int=0)
"""Stands in the roll-up for requests without an API key."""
PROMPT_BUCKETS: Final = ("0-255", "256-1023", "1024-4095", "4096+")
"""Classes of prompt length, in tokens (`prompt` + `prompt_cached`)."""


class Xid8(UserDefinedType[int]):
    """A 64-bit transaction id of Postgres; as text on the wire, since it is no number to Postgres."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


def _created_at() -> Column[Any]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


def _token_columns() -> list[Column[int]]:
    return [
        Column(segment, BigInteger, nullable=False)
        for segment in ("prompt", "prompt_cached", "judge", "think", "answer", "control")
    ]


tenant = Table(
    "tenant",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("mode_policy", Text, nullable=False, server_default="auto"),
    Column("max_think_tokens", BigInteger),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("concurrency", BigInteger),
    Column("weight", Numeric, nullable=False, server_default=text("1")),
    Column("monthly_budget", Numeric),
    Column("think_off_at", Numeric, nullable=False, server_default=text("0.8")),
    _created_at(),
    CheckConstraint("mode_policy IN ('auto', 'on', 'off')", name="mode_policy"),
    CheckConstraint("monthly_budget >= 0", name="monthly_budget"),
    CheckConstraint("think_off_at BETWEEN 0 AND 1", name="think_off_at"),
    CheckConstraint("weight BETWEEN 0.01 AND 100", name="weight"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenant.id"), nullable=False, index=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("sha256", Text, nullable=False, unique=True),
    # The first characters of the key, so that its owner can tell it from others.
    Column("prefix", Text, nullable=False),
    _created_at(),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    # The key's own; the tenant's hold as well.
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("concurrency", BigInteger),
    Column("monthly_budget", Numeric),
    Column("think_off_at", Numeric, nullable=False, server_default=text("0.8")),
    CheckConstraint("monthly_budget >= 0", name="monthly_budget"),
    CheckConstraint("think_off_at BETWEEN 0 AND 1", name="think_off_at"),
)

usage_event = Table(
    "usage_event",
    metadata,
    Column("id", Uuid, nullable=False),
    # The timestamp of the id; it decides hour and billing period.
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("stored_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # The storing transaction: what the roll-up's watermark goes by.
    Column("stored_xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("tenant", Text, nullable=False),
    Column("api_key_id", Uuid),
    Column("project", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("mode_source", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("finish_reason", Text),
    *_token_columns(),
    Column("ttft_ms", Double),
    Column("ttfa_ms", Double),
    Column("duration_ms", Double, nullable=False),
    Column("engine_seconds", Numeric, nullable=False),
    # labels['task'], or the empty string.
    Column("task", Text, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("source", Text, nullable=False),
    PrimaryKeyConstraint("id"),
    CheckConstraint("least(prompt, prompt_cached, judge, think, answer, control) >= 0", name="tokens"),
    # A tenant's events in order of time, for exports.
    Index(None, "tenant", "id"),
    Index(None, "stored_xid"),
    # One partition a month; the bounds are UUIDv7s. Unique by id and pruned by time with a single index.
    postgresql_partition_by="RANGE (id)",
)

usage_archive = Table(
    "usage_archive",
    metadata,
    # The first of the month, in UTC. A month with a row here takes no more events.
    Column("month", DateTime(timezone=True), primary_key=True),
    # What its events add up to, measured when they were detached from usage_event.
    Column("requests", BigInteger, nullable=False),
    *_token_columns(),
    Column("engine_seconds", Numeric, nullable=False),
    Column("detached_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # Set once the file was read back and agreed, and the rows were dropped.
    Column("file", Text),
    Column("sha256", LargeBinary),
    Column("dropped_at", DateTime(timezone=True)),
    CheckConstraint("num_nulls(file, sha256, dropped_at) IN (0, 3)", name="dropped"),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # As the sender wrote it, valid or not.
    Column("event_id", Text),
    Column("reason", Text, nullable=False),
    # JSON in ASCII: text, because jsonb refuses what must be kept here (NUL, lone surrogates).
    Column("body", Text, nullable=False),
    # Of the body, so that a batch sent twice leaves one letter.
    Column("sha256", LargeBinary, nullable=False, unique=True),
)


def _rolled_up(name: str, time: str) -> Table:
    """What requests add up to that share the time and everything a report can ask for."""
    return Table(
        name,
        metadata,
        # Its start, in UTC.
        Column(time, DateTime(timezone=True), nullable=False),
        # SHA-256 of the other key columns: their texts together may be longer than an index takes.
        Column("key_sha256", LargeBinary, nullable=False),
        Column("tenant", Text, nullable=False),
        Column("project", Text, nullable=False),
        # NO_API_KEY for requests without one.
        Column("api_key_id", Uuid, nullable=False),
        Column("model", Text, nullable=False),
        Column("mode", Text, nullable=False),
        Column("mode_source", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("task", Text, nullable=False),
        # One of PROMPT_BUCKETS.
        Column("prompt_bucket", Text, nullable=False),
        Column("requests", BigInteger, nullable=False),
        *_token_columns(),
        Column("engine_seconds", Numeric, nullable=False),
        PrimaryKeyConstraint(time, "key_sha256"),
        Index(None, "tenant", time),
    )


usage_hourly = _rolled_up("usage_hourly", "hour")
# The same by whole days: a month of a large tenant is hundreds of thousands of hourly rows.
usage_daily = _rolled_up("usage_daily", "day")

rollup_state = Table(
    "rollup_state",
    metadata,
    # One row.
    Column("id", Integer, primary_key=True, autoincrement=False),
    # Events of transactions before this one are in the roll-up.
    Column("next_xid", Xid8, nullable=False),
    # Events acknowledged before this moment are in the roll-up.
    Column("as_of", DateTime(timezone=True), nullable=False),
    # Counts the passes that changed the roll-up.
    Column("revision", BigInteger, nullable=False),
    # The revision that the last rebuild made.
    Column("rebuilt_revision", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("id = 1", name="one_row"),
)

late_hour = Table(
    "late_hour",
    metadata,
    # An hour that a pass added usage to when its month was over already, and the revision that this pass made.
    Column("tenant", Text, nullable=False),
    Column("hour", DateTime(timezone=True), nullable=False),
    Column("revision", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "hour"),
    Index(None, "tenant", "revision"),
)

price = Table(
    "price",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("segment", Text, nullable=False),
    Column("mode", Text, nullable=False),
    # Price of a million tokens.
    Column("per_million", Numeric, nullable=False),
    Column("currency", Text, nullable=False),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    Column("effective_to", DateTime(timezone=True)),
    # What the price stands for: a saving compares prices of one basis only.
    Column("basis", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_date", Date, nullable=False),
    _created_at(),
    CheckConstraint("per_million >= 0", name="per_million"),
    CheckConstraint("basis IN ('compute', 'list_price')", name="basis"),
    CheckConstraint("mode IN ('any', 'on', 'off')", name="mode"),
    CheckConstraint("effective_from < effective_to", name="period"),
    # The migration adds the constraint price_overlap: no two prices of one (model, segment, mode) at one time.
)

baseline = Table(
    "baseline",
    metadata,
    Column("name", Text, primary_key=True),
    Column("architecture", Text, nullable=False),
    Column("total_parameters", BigInteger, nullable=False),
    # Parameters at work on one token: fewer than the total in a mixture of experts.
    Column("active_parameters", BigInteger, nullable=False),
    # A thought experiment: no such model was compared with ours.
    Column("hypothetical", Boolean, nullable=False, server_default=text("false")),
    Column("description", Text, nullable=False),
    # Of architecture and parameters.
    Column("source", Text, nullable=False),
    Column("source_date", Date, nullable=False),
    # Set where the baseline's token ratios were taken from another model; reports print it.
    Column("token_ratio_assumption", Text),
    _created_at(),
)

baseline_price = Table(
    "baseline_price",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("baseline", Text, ForeignKey("baseline.name"), nullable=False),
    Column("segment", Text, nullable=False),
    Column("per_million", Numeric, nullable=False),
    Column("currency", Text, nullable=False),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    Column("basis", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_date", Date, nullable=False),
    _created_at(),
    CheckConstraint("per_million >= 0", name="per_million"),
    CheckConstraint("basis IN ('compute', 'list_price')", name="basis"),
    Index(None, "baseline", "segment", "effective_from", unique=True),
)

token_ratio = Table(
    "token_ratio",
    metadata,
    Column("baseline", Text, ForeignKey("baseline.name"), nullable=False),
    Column("task", Text, nullable=False),
    # Average completion tokens of one task: `theirs` / `ours` are the baseline's tokens for one of ours.
    Column("ours", BigInteger, nullable=False),
    Column("theirs", BigInteger, nullable=False),
    Column("label", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_date", Date, nullable=False),
    PrimaryKeyConstraint("baseline", "task"),
    CheckConstraint("least(ours, theirs) > 0", name="tokens"),
    CheckConstraint("label IN ('cited', 'measured')", name="label"),
)

shadow_sample = Table(
    "shadow_sample",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("baseline", Text, ForeignKey("baseline.name"), nullable=False, index=True),
    Column("event_id", Uuid),
    Column("taken_at", DateTime(timezone=True), nullable=False),
    # Ours, of the two: a ratio measured on one model says nothing of another.
    Column("model", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("prompt_bucket", Text, nullable=False),
    # Completion tokens of the two answers to one request.
    Column("tokens_ours", BigInteger, nullable=False),
    Column("tokens_baseline", BigInteger, nullable=False),
    # Until the whole answer was there.
    Column("latency_ours_ms", Double),
    Column("latency_baseline_ms", Double),
    # Of our answer against the baseline's, and who gave it; both null where nobody judged.
    Column("verdict", Text),
    Column("judge", Text),
    CheckConstraint("tokens_ours >= 0 AND tokens_baseline >= 0", name="tokens"),
    CheckConstraint("verdict IN ('better', 'same', 'worse')", name="verdict"),
    CheckConstraint("num_nulls(verdict, judge) IN (0, 2)", name="judged"),
)
