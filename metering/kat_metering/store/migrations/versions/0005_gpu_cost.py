"""GPU time of replicas; latency and verdict of shadow samples.

Revision ID: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# No tenant reads it: it tells of everybody's usage.
REPLICA_HOURS = """
CREATE TABLE replica_hour (
    source TEXT NOT NULL,
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    gpus INTEGER NOT NULL,
    seconds NUMERIC NOT NULL,
    gpu_hour_price NUMERIC NOT NULL,
    currency TEXT NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT replica_hour_pkey PRIMARY KEY (source, hour),
    CONSTRAINT replica_hour_gpus_check CHECK (gpus > 0),
    CONSTRAINT replica_hour_seconds_check CHECK (seconds BETWEEN 0 AND 3600),
    CONSTRAINT replica_hour_gpu_hour_price_check CHECK (gpu_hour_price >= 0)
);
"""

VERDICTS = """
ALTER TABLE shadow_sample
    ADD COLUMN latency_ours_ms DOUBLE PRECISION,
    ADD COLUMN latency_baseline_ms DOUBLE PRECISION,
    ADD COLUMN verdict TEXT,
    ADD COLUMN judge TEXT,
    ADD CONSTRAINT shadow_sample_verdict_check CHECK (verdict IN ('better', 'same', 'worse')),
    ADD CONSTRAINT shadow_sample_judged_check CHECK (num_nulls(verdict, judge) IN (0, 2));
"""

# A tenant's export must say that a month is archived, not come out empty. Which months are is no secret; files are.
ARCHIVED_MONTHS = "GRANT SELECT (month) ON usage_archive TO kat_tenant"


def upgrade() -> None:
    op.execute(REPLICA_HOURS)
    op.execute(VERDICTS)
    op.execute(ARCHIVED_MONTHS)


def downgrade() -> None:
    op.execute("REVOKE SELECT (month) ON usage_archive FROM kat_tenant")
    op.execute("DROP TABLE replica_hour")
    op.execute(
        "ALTER TABLE shadow_sample DROP CONSTRAINT shadow_sample_judged_check, DROP CONSTRAINT"
        " shadow_sample_verdict_check, DROP COLUMN judge, DROP COLUMN verdict, DROP COLUMN latency_baseline_ms,"
        " DROP COLUMN latency_ours_ms"
    )
