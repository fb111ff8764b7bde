"""Who changed what; a role for each purpose; limits and budgets of keys; webhooks that tell of budgets.

Revision ID: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE api_key
    ADD COLUMN requests_per_minute BIGINT,
    ADD COLUMN tokens_per_minute BIGINT,
    ADD COLUMN concurrency BIGINT,
    ADD COLUMN monthly_budget NUMERIC,
    ADD COLUMN think_off_at NUMERIC DEFAULT 0.8 NOT NULL,
    ADD CONSTRAINT api_key_monthly_budget_check CHECK (monthly_budget >= 0),
    ADD CONSTRAINT api_key_think_off_at_check CHECK (think_off_at BETWEEN 0 AND 1);

CREATE TABLE audit_entry (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    actor TEXT NOT NULL,
    request_id TEXT,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    object_id TEXT NOT NULL,
    tenant TEXT,
    before JSONB,
    after JSONB,
    CONSTRAINT audit_entry_pkey PRIMARY KEY (id),
    CONSTRAINT audit_entry_action_check CHECK (action IN ('create', 'change', 'delete'))
);
CREATE INDEX audit_entry_tenant_id ON audit_entry (tenant, id);

CREATE TABLE webhook (
    id UUID NOT NULL,
    tenant_id TEXT NOT NULL,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT webhook_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenant (id),
    CONSTRAINT webhook_tenant_id_url_key UNIQUE (tenant_id, url)
);

CREATE TABLE budget_alert (
    id UUID NOT NULL,
    webhook_id UUID NOT NULL,
    tenant TEXT NOT NULL,
    api_key_id UUID NOT NULL,
    month DATE NOT NULL,
    percent INTEGER NOT NULL,
    body TEXT NOT NULL,
    raised_at TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE NOT NULL,
    acknowledged_at TIMESTAMP WITH TIME ZONE,
    last_error TEXT,
    CONSTRAINT budget_alert_pkey PRIMARY KEY (id),
    CONSTRAINT budget_alert_webhook_id_fkey FOREIGN KEY(webhook_id) REFERENCES webhook (id) ON DELETE CASCADE,
    CONSTRAINT budget_alert_webhook_id_api_key_id_month_percent_key UNIQUE (webhook_id, api_key_id, month, percent)
);
CREATE INDEX budget_alert_next_attempt_at ON budget_alert (next_attempt_at) WHERE acknowledged_at IS NULL;
"""

# Roles belong to the whole server, so another database of it may have made them, even at this very moment. Where the
# service may not create roles, an administrator creates them and grants them before the first migration. The ingest
# writes its deliveries with COPY, which Postgres refuses to roles that row-level security binds; where the role may not
# pass it by, the ingest takes the slower way of INSERT.
ROLES = """
DO $$
DECLARE
    purpose text;
BEGIN
    FOREACH purpose IN ARRAY ARRAY['kat_admin', 'kat_ingest', 'kat_tenant'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = purpose) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', purpose);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        -- Since version 16, who creates a role is its member, and yet may not act as it.
        IF NOT pg_has_role(
            current_user,
            purpose,
            CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END
        ) THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', purpose);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), purpose);
    END LOOP;
    IF NOT (SELECT rolbypassrls FROM pg_roles WHERE rolname = 'kat_ingest') THEN
        BEGIN
            ALTER ROLE kat_ingest BYPASSRLS;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'kat_ingest may not pass row-level security by: the ingest will not use COPY';
        END;
    END IF;
END
$$;
"""

# What the service itself does (roll-up, partitions, retention, delivery of alerts) it does as the tables' owner.
GRANTS = """
GRANT SELECT ON tenant, api_key, baseline, baseline_price, token_ratio, price, price_version, discount, statement,
    statement_usage, adjustment, statement_adjustment, shadow_sample, replica_hour, usage_event, usage_hourly,
    usage_daily, usage_archive, rollup_state, dead_letter, audit_entry, budget_alert TO kat_admin;
GRANT INSERT, UPDATE, DELETE ON tenant, api_key, baseline, baseline_price, token_ratio, price, discount, shadow_sample,
    replica_hour TO kat_admin;
GRANT INSERT ON price_version, statement, statement_usage, adjustment, statement_adjustment TO kat_admin;
GRANT INSERT, DELETE, SELECT (id, tenant_id, url, created_at), UPDATE (url, secret) ON webhook TO kat_admin;

GRANT SELECT, INSERT ON usage_event TO kat_ingest;
GRANT INSERT, SELECT (sha256) ON dead_letter TO kat_ingest;
CREATE POLICY every_row ON usage_event TO kat_ingest USING (true) WITH CHECK (true);

DO $$
DECLARE
    isolated regclass;
BEGIN
    FOR isolated IN
        SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relrowsecurity
    LOOP
        EXECUTE format('CREATE POLICY every_row_of_admins ON %s TO kat_admin USING (true) WITH CHECK (true)', isolated);
    END LOOP;
END
$$;
"""

# Written by the database, so that no way of changing these tables is without its entry: not a new route, not SQL by
# hand. The function runs as its owner: who may change a table may not write entries of his own.
# Numbers become strings, digit for digit: money is not to pass through a reader's floating point.
# Its arguments: the key's columns, the tenant's column or the empty string, and what is not to be kept.
AUDIT = """
CREATE FUNCTION kat_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    told jsonb := coalesce(after, before);
    secrets text[] := string_to_array(TG_ARGV[2], ',');
BEGIN
    IF before IS NOT DISTINCT FROM after THEN
        RETURN NULL;
    END IF;
    INSERT INTO audit_entry (actor, request_id, action, object, object_id, tenant, before, after) VALUES (
        coalesce(nullif(current_setting('kat.actor', true), ''), 'database user ' || session_user),
        nullif(current_setting('kat.request_id', true), ''),
        CASE TG_OP WHEN 'INSERT' THEN 'create' WHEN 'UPDATE' THEN 'change' ELSE 'delete' END,
        TG_TABLE_NAME,
        (SELECT string_agg(told ->> name, '/' ORDER BY place)
            FROM unnest(string_to_array(TG_ARGV[0], ',')) WITH ORDINALITY AS key (name, place)),
        told ->> nullif(TG_ARGV[1], ''),
        (SELECT jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'number' THEN to_jsonb(value #>> '{}') ELSE value END)
            FROM jsonb_each(before - secrets)),
        (SELECT jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'number' THEN to_jsonb(value #>> '{}') ELSE value END)
            FROM jsonb_each(after - secrets))
    );
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION kat_audit() FROM PUBLIC;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION kat_refuse_change();
"""

# Table: the key's columns, the tenant's column, what is not to be kept. A statement's document is in `statement` for
# good, and its hash in the entry.
AUDITED = {
    "tenant": ("id", "id", ""),
    "api_key": ("id", "tenant_id", "sha256"),
    "webhook": ("id", "tenant_id", "secret"),
    "price": ("id", "", ""),
    "discount": ("id", "tenant", ""),
    "baseline": ("name", "", ""),
    "baseline_price": ("id", "", ""),
    "token_ratio": ("baseline,task", "", ""),
    "statement": ("series,number", "tenant", "document"),
    "adjustment": ("id", "tenant", ""),
    "usage_archive": ("month", "", ""),
}


def upgrade() -> None:
    for script in (TABLES, ROLES, GRANTS, AUDIT):
        op.execute(script)
    for table, arguments in AUDITED.items():
        quoted = ", ".join(f"'{each}'" for each in arguments)
        op.execute(
            f"CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION kat_audit({quoted})"
        )


def downgrade() -> None:
    # The roles stay: other databases of the server may use them.
    for table in AUDITED:
        op.execute(f"DROP TRIGGER audit ON {table}")
    op.execute("DROP OWNED BY kat_admin; DROP OWNED BY kat_ingest")
    op.execute("DROP TABLE budget_alert, webhook, audit_entry")
    op.execute("DROP FUNCTION kat_audit()")
    op.execute(
        "ALTER TABLE api_key DROP COLUMN think_off_at, DROP COLUMN monthly_budget, DROP COLUMN concurrency,"
        " DROP COLUMN tokens_per_minute, DROP COLUMN requests_per_minute"
    )
