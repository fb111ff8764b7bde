"""Months whose events have left the database; the roll-up by days.

Revision ID: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ARCHIVE = """
CREATE TABLE usage_archive (
    month TIMESTAMP WITH TIME ZONE NOT NULL,
    requests BIGINT NOT NULL,
    prompt BIGINT NOT NULL,
    prompt_cached BIGINT NOT NULL,
    judge BIGINT NOT NULL,
    think BIGINT NOT NULL,
    answer BIGINT NOT NULL,
    control BIGINT NOT NULL,
    engine_seconds NUMERIC NOT NULL,
    detached_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    file TEXT,
    sha256 BYTEA,
    dropped_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT usage_archive_pkey PRIMARY KEY (month),
    CONSTRAINT usage_archive_dropped_check CHECK (num_nulls(file, sha256, dropped_at) IN (0, 3))
);
"""

DAILY = """
CREATE TABLE usage_daily (
    day TIMESTAMP WITH TIME ZONE NOT NULL,
    key_sha256 BYTEA NOT NULL,
    tenant TEXT NOT NULL,
    project TEXT NOT NULL,
    api_key_id UUID NOT NULL,
    model TEXT NOT NULL,
    mode TEXT NOT NULL,
    mode_source TEXT NOT NULL,
    status TEXT NOT NULL,
    task TEXT NOT NULL,
    prompt_bucket TEXT NOT NULL,
    requests BIGINT NOT NULL,
    prompt BIGINT NOT NULL,
    prompt_cached BIGINT NOT NULL,
    judge BIGINT NOT NULL,
    think BIGINT NOT NULL,
    answer BIGINT NOT NULL,
    control BIGINT NOT NULL,
    engine_seconds NUMERIC NOT NULL,
    CONSTRAINT usage_daily_pkey PRIMARY KEY (day, key_sha256)
);
CREATE INDEX usage_daily_tenant_day ON usage_daily (tenant, day);
GRANT SELECT ON usage_daily TO kat_tenant;
ALTER TABLE usage_daily ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON usage_daily FOR SELECT TO kat_tenant
    USING (tenant = current_setting('kat.tenant', true));
INSERT INTO usage_daily
SELECT date_trunc('day', hour, 'UTC'), key_sha256, tenant, project, api_key_id, model, mode, mode_source, status, task,
    prompt_bucket, sum(requests), sum(prompt), sum(prompt_cached), sum(judge), sum(think), sum(answer), sum(control),
    sum(engine_seconds)
FROM usage_hourly
GROUP BY date_trunc('day', hour, 'UTC'), key_sha256, tenant, project, api_key_id, model, mode, mode_source, status,
    task, prompt_bucket;
"""

# A row of this hour or day is added to every second: with room on its page, that need not touch an index.
ROOM = """
ALTER TABLE usage_hourly SET (fillfactor = 80);
ALTER TABLE usage_daily SET (fillfactor = 80);
"""


def upgrade() -> None:
    for script in (ARCHIVE, DAILY, ROOM):
        op.execute(script)


def downgrade() -> None:
    op.execute("ALTER TABLE usage_hourly RESET (fillfactor)")
    op.execute("DROP TABLE usage_daily, usage_archive")
