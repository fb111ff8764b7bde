"""The table of GPU time."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, DateTime, Integer, Numeric, PrimaryKeyConstraint, Table, Text, func

from kat_metering.store.tables import metadata

replica_hour = Table(
    "replica_hour",
    metadata,
    # The predictor instance, as its usage events name it.
    Column("source", Text, nullable=False),
    # The start of the hour, in UTC.
    Column("hour", DateTime(timezone=True), nullable=False),
    Column("gpus", Integer, nullable=False),
    # How long the replica held its GPUs in this hour.
    Column("seconds", Numeric, nullable=False),
    # Price of one GPU for an hour, as it was when this was recorded.
    Column("gpu_hour_price", Numeric, nullable=False),
    Column("currency", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("source", "hour"),
    CheckConstraint("gpus > 0", name="gpus"),
    CheckConstraint("seconds BETWEEN 0 AND 3600", name="seconds"),
    CheckConstraint("gpu_hour_price >= 0", name="gpu_hour_price"),
)
