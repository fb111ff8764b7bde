"""The tables of statements. All of them only grow: triggers of the migration refuse every change of what is there."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)

from kat.usage_event import Segment
from kat_metering.store.tables import metadata

statement = Table(
    "statement",
    metadata,
    Column("series", Text, nullable=False),
    # Counts from 1 without gaps.
    Column("number", BigInteger, nullable=False, autoincrement=False),
    Column("tenant", Text, nullable=False),
    # The first day of the month.
    Column("month", Date, nullable=False),
    Column("currency", Text, nullable=False),
    Column("total", Numeric, nullable=False),
    Column("closed_at", DateTime(timezone=True), nullable=False),
    # Hexadecimal. The first of a series has 64 zeros: so no two statements can follow the same one.
    Column("previous_sha256", Text, nullable=False),
    # Of the document.
    Column("sha256", Text, nullable=False),
    # Canonical JSON, to the byte: the statement itself. The other columns are there to find it by.
    Column("document", Text, nullable=False),
    # How far the roll-up had come at least when its usage was read; null where that was not kept yet.
    Column("rollup_revision", BigInteger),
    PrimaryKeyConstraint("series", "number"),
    UniqueConstraint("tenant", "month"),
    UniqueConstraint("series", "previous_sha256"),
    CheckConstraint("number > 0", name="number"),
    CheckConstraint("extract(day FROM month) = 1", name="month"),
)

statement_usage = Table(
    "statement_usage",
    metadata,
    Column("series", Text, nullable=False),
    Column("number", BigInteger, nullable=False, autoincrement=False),
    Column("tenant", Text, nullable=False),
    Column("hour", DateTime(timezone=True), nullable=False),
    Column("model", Text, nullable=False),
    Column("mode", Text, nullable=False),
    # Tokens billed: those that had a price. What the roll-up has beyond them is billed by a later statement.
    *(Column(segment.value, BigInteger, nullable=False) for segment in Segment),
    PrimaryKeyConstraint("series", "number", "hour", "model", "mode"),
    ForeignKeyConstraint(["series", "number"], ["statement.series", "statement.number"]),
    Index(None, "tenant", "hour"),
)

adjustment = Table(
    "adjustment",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    # The statement corrected.
    Column("series", Text, nullable=False),
    Column("number", BigInteger, nullable=False, autoincrement=False),
    # What the tenant gets back.
    Column("credit", Numeric, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    ForeignKeyConstraint(["series", "number"], ["statement.series", "statement.number"]),
    CheckConstraint("credit > 0", name="credit"),
    Index(None, "tenant"),
)

statement_adjustment = Table(
    "statement_adjustment",
    metadata,
    # Once: an adjustment is a line of one statement.
    Column("adjustment", Uuid, primary_key=True),
    Column("series", Text, nullable=False),
    Column("number", BigInteger, nullable=False, autoincrement=False),
    Column("tenant", Text, nullable=False),
    ForeignKeyConstraint(["adjustment"], ["adjustment.id"]),
    ForeignKeyConstraint(["series", "number"], ["statement.series", "statement.number"]),
)

discount = Table(
    "discount",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False),
    # Null: every model.
    Column("model", Text),
    # Null: every segment.
    Column("segment", Text),
    Column("percent", Numeric, nullable=False),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    Column("effective_to", DateTime(timezone=True)),
    Column("reason", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("percent BETWEEN 0 AND 100", name="percent"),
    CheckConstraint("effective_from < effective_to", name="period"),
    Index(None, "tenant"),
    # The migration adds the constraint discount_overlap: no two discounts of one scope at one time.
)

price_version = Table(
    "price_version",
    metadata,
    # Counts from 1: the price book as each change left it.
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    # found (before the first change that was recorded), import or rerate
    Column("kind", Text, nullable=False),
    # YAML, as `kat prices import` reads it.
    Column("book", Text, nullable=False),
    CheckConstraint("kind IN ('found', 'import', 'rerate')", name="kind"),
)
