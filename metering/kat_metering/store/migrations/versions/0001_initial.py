"""The first schema.

Revision ID: 0001
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE baseline (
    name TEXT NOT NULL,
    architecture TEXT NOT NULL,
    total_parameters BIGINT NOT NULL,
    active_parameters BIGINT NOT NULL,
    hypothetical BOOLEAN DEFAULT false NOT NULL,
    description TEXT NOT NULL,
    source TEXT NOT NULL,
    source_date DATE NOT NULL,
    token_ratio_assumption TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT baseline_pkey PRIMARY KEY (name)
);

CREATE TABLE dead_letter (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    event_id TEXT,
    reason TEXT NOT NULL,
    body TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    CONSTRAINT dead_letter_pkey PRIMARY KEY (id),
    CONSTRAINT dead_letter_sha256_key UNIQUE (sha256)
);

CREATE TABLE price (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    model TEXT NOT NULL,
    segment TEXT NOT NULL,
    mode TEXT NOT NULL,
    per_million NUMERIC NOT NULL,
    currency TEXT NOT NULL,
    effective_from TIMESTAMP WITH TIME ZONE NOT NULL,
    effective_to TIMESTAMP WITH TIME ZONE,
    basis TEXT NOT NULL,
    source TEXT NOT NULL,
    source_date DATE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT price_pkey PRIMARY KEY (id),
    CONSTRAINT price_per_million_check CHECK (per_million >= 0),
    CONSTRAINT price_basis_check CHECK (basis IN ('compute', 'list_price')),
    CONSTRAINT price_mode_check CHECK (mode IN ('any', 'on', 'off')),
    CONSTRAINT price_period_check CHECK (effective_from < effective_to)
);

CREATE TABLE rollup_state (
    id INTEGER NOT NULL,
    next_xid xid8 NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    revision BIGINT NOT NULL,
    CONSTRAINT rollup_state_pkey PRIMARY KEY (id),
    CONSTRAINT rollup_state_one_row_check CHECK (id = 1)
);

CREATE TABLE tenant (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    mode_policy TEXT DEFAULT 'auto' NOT NULL,
    max_think_tokens BIGINT,
    requests_per_minute BIGINT,
    tokens_per_minute BIGINT,
    concurrency BIGINT,
    monthly_budget NUMERIC,
    think_off_at NUMERIC DEFAULT 0.8 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT tenant_pkey PRIMARY KEY (id),
    CONSTRAINT tenant_mode_policy_check CHECK (mode_policy IN ('auto', 'on', 'off')),
    CONSTRAINT tenant_monthly_budget_check CHECK (monthly_budget >= 0),
    CONSTRAINT tenant_think_off_at_check CHECK (think_off_at BETWEEN 0 AND 1)
);

CREATE TABLE usage_event (
    id UUID NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    stored_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    stored_xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    tenant TEXT NOT NULL,
    api_key_id UUID,
    project TEXT NOT NULL,
    model TEXT NOT NULL,
    mode TEXT NOT NULL,
    mode_source TEXT NOT NULL,
    status TEXT NOT NULL,
    finish_reason TEXT,
    prompt BIGINT NOT NULL,
    prompt_cached BIGINT NOT NULL,
    judge BIGINT NOT NULL,
    think BIGINT NOT NULL,
    answer BIGINT NOT NULL,
    control BIGINT NOT NULL,
    ttft_ms DOUBLE PRECISION,
    ttfa_ms DOUBLE PRECISION,
    duration_ms DOUBLE PRECISION NOT NULL,
    engine_seconds NUMERIC NOT NULL,
    task TEXT NOT NULL,
    labels JSONB NOT NULL,
    source TEXT NOT NULL,
    CONSTRAINT usage_event_pkey PRIMARY KEY (id),
    CONSTRAINT usage_event_tokens_check CHECK (least(prompt, prompt_cached, judge, think, answer, control) >= 0)
) PARTITION BY RANGE (id);
CREATE INDEX usage_event_stored_xid ON usage_event (stored_xid);
CREATE INDEX usage_event_tenant_id ON usage_event (tenant, id);

CREATE TABLE usage_hourly (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
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
    CONSTRAINT usage_hourly_pkey PRIMARY KEY (hour, key_sha256)
);
CREATE INDEX usage_hourly_tenant_hour ON usage_hourly (tenant, hour);

CREATE TABLE api_key (
    id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    project TEXT NOT NULL,
    name TEXT DEFAULT '' NOT NULL,
    sha256 TEXT NOT NULL,
    prefix TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT api_key_pkey PRIMARY KEY (id),
    CONSTRAINT api_key_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenant (id),
    CONSTRAINT api_key_sha256_key UNIQUE (sha256)
);
CREATE INDEX api_key_tenant_id ON api_key (tenant_id);

CREATE TABLE baseline_price (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    baseline TEXT NOT NULL,
    segment TEXT NOT NULL,
    per_million NUMERIC NOT NULL,
    currency TEXT NOT NULL,
    effective_from TIMESTAMP WITH TIME ZONE NOT NULL,
    basis TEXT NOT NULL,
    source TEXT NOT NULL,
    source_date DATE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT baseline_price_pkey PRIMARY KEY (id),
    CONSTRAINT baseline_price_per_million_check CHECK (per_million >= 0),
    CONSTRAINT baseline_price_basis_check CHECK (basis IN ('compute', 'list_price')),
    CONSTRAINT baseline_price_baseline_fkey FOREIGN KEY(baseline) REFERENCES baseline (name)
);
CREATE UNIQUE INDEX baseline_price_baseline_segment_effective_from ON baseline_price (baseline, segment, effective_from);

CREATE TABLE shadow_sample (
    id UUID NOT NULL,
    baseline TEXT NOT NULL,
    event_id UUID,
    taken_at TIMESTAMP WITH TIME ZONE NOT NULL,
    model TEXT NOT NULL,
    mode TEXT NOT NULL,
    task TEXT NOT NULL,
    prompt_bucket TEXT NOT NULL,
    tokens_ours BIGINT NOT NULL,
    tokens_baseline BIGINT NOT NULL,
    CONSTRAINT shadow_sample_pkey PRIMARY KEY (id),
    CONSTRAINT shadow_sample_tokens_check CHECK (tokens_ours >= 0 AND tokens_baseline >= 0),
    CONSTRAINT shadow_sample_baseline_fkey FOREIGN KEY(baseline) REFERENCES baseline (name)
);
CREATE INDEX shadow_sample_baseline ON shadow_sample (baseline);

CREATE TABLE token_ratio (
    baseline TEXT NOT NULL,
    task TEXT NOT NULL,
    ours BIGINT NOT NULL,
    theirs BIGINT NOT NULL,
    label TEXT NOT NULL,
    source TEXT NOT NULL,
    source_date DATE NOT NULL,
    CONSTRAINT token_ratio_pkey PRIMARY KEY (baseline, task),
    CONSTRAINT token_ratio_tokens_check CHECK (least(ours, theirs) > 0),
    CONSTRAINT token_ratio_label_check CHECK (label IN ('cited', 'measured')),
    CONSTRAINT token_ratio_baseline_fkey FOREIGN KEY(baseline) REFERENCES baseline (name)
);
"""

# A range of one text makes equality indexable by GiST without the extension btree_gist, which not every server has.
NO_OVERLAPPING_PRICES = """
CREATE TYPE kat_text_range AS RANGE (SUBTYPE = text, COLLATION = "C");
ALTER TABLE price ADD CONSTRAINT price_overlap EXCLUDE USING gist (
    kat_text_range(model, model, '[]') WITH =,
    kat_text_range(segment, segment, '[]') WITH =,
    kat_text_range(mode, mode, '[]') WITH =,
    tstzrange(effective_from, effective_to) WITH &&
);
"""

# Roles belong to the whole server, so another database of it may have made this one, even at this very moment. Where
# the service may not create roles, an administrator creates it and grants it before the first migration.
TENANT_ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'kat_tenant') THEN
        BEGIN
            CREATE ROLE kat_tenant NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'kat_tenant', 'MEMBER') THEN
        GRANT kat_tenant TO CURRENT_USER;
    END IF;
END
$$;
"""

# The service owns the tables and passes row-level security by; it puts the role on for requests of tenants.
TENANT_ISOLATION = """
GRANT SELECT ON tenant, usage_event, usage_hourly, rollup_state, price, baseline, baseline_price, token_ratio,
    shadow_sample TO kat_tenant;
ALTER TABLE tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_hourly ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON tenant FOR SELECT TO kat_tenant
    USING (id = current_setting('kat.tenant', true));
CREATE POLICY own_rows ON usage_event FOR SELECT TO kat_tenant
    USING (tenant = current_setting('kat.tenant', true));
CREATE POLICY own_rows ON usage_hourly FOR SELECT TO kat_tenant
    USING (tenant = current_setting('kat.tenant', true));
"""

FIRST_WATERMARK = """
INSERT INTO rollup_state (id, next_xid, as_of, revision) VALUES (1, '0', 'epoch', 0);
"""


def upgrade() -> None:
    for script in (TABLES, NO_OVERLAPPING_PRICES, TENANT_ROLE, TENANT_ISOLATION, FIRST_WATERMARK):
        op.execute(script)


def downgrade() -> None:
    # The role stays: other databases of the server may use it.
    op.execute(
        "DROP TABLE shadow_sample, token_ratio, baseline_price, baseline, price, rollup_state, usage_hourly,"
        " dead_letter, usage_event, api_key, tenant"
    )
    op.execute("DROP TYPE kat_text_range")
