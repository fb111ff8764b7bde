"""Statements, adjustments, discounts, versions of the price book.

Revision ID: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE statement (
    series TEXT NOT NULL,
    number BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    month DATE NOT NULL,
    currency TEXT NOT NULL,
    total NUMERIC NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    previous_sha256 TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    document TEXT NOT NULL,
    CONSTRAINT statement_pkey PRIMARY KEY (series, number),
    CONSTRAINT statement_tenant_month_key UNIQUE (tenant, month),
    CONSTRAINT statement_series_previous_sha256_key UNIQUE (series, previous_sha256),
    CONSTRAINT statement_number_check CHECK (number > 0),
    CONSTRAINT statement_month_check CHECK (extract(day FROM month) = 1)
);

CREATE TABLE statement_usage (
    series TEXT NOT NULL,
    number BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    model TEXT NOT NULL,
    mode TEXT NOT NULL,
    prompt BIGINT NOT NULL,
    prompt_cached BIGINT NOT NULL,
    judge BIGINT NOT NULL,
    think BIGINT NOT NULL,
    answer BIGINT NOT NULL,
    control BIGINT NOT NULL,
    CONSTRAINT statement_usage_pkey PRIMARY KEY (series, number, hour, model, mode),
    CONSTRAINT statement_usage_series_fkey FOREIGN KEY(series, number) REFERENCES statement (series, number)
);
CREATE INDEX statement_usage_tenant_hour ON statement_usage (tenant, hour);

CREATE TABLE adjustment (
    id UUID NOT NULL,
    tenant TEXT NOT NULL,
    series TEXT NOT NULL,
    number BIGINT NOT NULL,
    credit NUMERIC NOT NULL,
    reason TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT adjustment_pkey PRIMARY KEY (id),
    CONSTRAINT adjustment_series_fkey FOREIGN KEY(series, number) REFERENCES statement (series, number),
    CONSTRAINT adjustment_credit_check CHECK (credit > 0)
);
CREATE INDEX adjustment_tenant ON adjustment (tenant);

CREATE TABLE statement_adjustment (
    adjustment UUID NOT NULL,
    series TEXT NOT NULL,
    number BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    CONSTRAINT statement_adjustment_pkey PRIMARY KEY (adjustment),
    CONSTRAINT statement_adjustment_adjustment_fkey FOREIGN KEY(adjustment) REFERENCES adjustment (id),
    CONSTRAINT statement_adjustment_series_fkey FOREIGN KEY(series, number) REFERENCES statement (series, number)
);

CREATE TABLE discount (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    tenant TEXT NOT NULL,
    model TEXT,
    segment TEXT,
    percent NUMERIC NOT NULL,
    effective_from TIMESTAMP WITH TIME ZONE NOT NULL,
    effective_to TIMESTAMP WITH TIME ZONE,
    reason TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT discount_pkey PRIMARY KEY (id),
    CONSTRAINT discount_percent_check CHECK (percent BETWEEN 0 AND 100),
    CONSTRAINT discount_period_check CHECK (effective_from < effective_to)
);
CREATE INDEX discount_tenant ON discount (tenant);

CREATE TABLE price_version (
    number BIGINT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    kind TEXT NOT NULL,
    book TEXT NOT NULL,
    CONSTRAINT price_version_pkey PRIMARY KEY (number),
    CONSTRAINT price_version_kind_check CHECK (kind IN ('found', 'import', 'rerate'))
);
"""

# No model and no segment is called by the empty string, so that it can stand for all of them.
NO_OVERLAPPING_DISCOUNTS = """
ALTER TABLE discount ADD CONSTRAINT discount_overlap EXCLUDE USING gist (
    kat_text_range(tenant, tenant, '[]') WITH =,
    kat_text_range(coalesce(model, ''), coalesce(model, ''), '[]') WITH =,
    kat_text_range(coalesce(segment, ''), coalesce(segment, ''), '[]') WITH =,
    tstzrange(effective_from, effective_to) WITH &&
);
"""

# Also for the owner of the tables, whom REVOKE would not stop. Who takes the triggers away is found out by the chain.
NOTHING_CLOSED_CHANGES = """
CREATE FUNCTION kat_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of %: what is closed never changes', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE FUNCTION kat_refuse_other_statements() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added JOIN statement USING (series, number)
        WHERE statement.xmin::text <> pg_current_xact_id()::xid::text
    ) THEN
        RAISE EXCEPTION '% of %: what is closed never changes', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
"""

_GUARDED = ("statement", "statement_usage", "adjustment", "statement_adjustment", "price_version")
_COMPLETED_AT_ONCE = ("statement_usage", "statement_adjustment")
_OF_TENANTS = ("statement", "statement_usage", "adjustment", "statement_adjustment", "discount")


def upgrade() -> None:
    for script in (TABLES, NO_OVERLAPPING_DISCOUNTS, NOTHING_CLOSED_CHANGES):
        op.execute(script)
    for table in _GUARDED:
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION kat_refuse_change()"
        )
    for table in _COMPLETED_AT_ONCE:
        op.execute(
            f"CREATE TRIGGER refuse_other_statements AFTER INSERT ON {table} REFERENCING NEW TABLE AS added"
            " FOR EACH STATEMENT EXECUTE FUNCTION kat_refuse_other_statements()"
        )
    for table in _OF_TENANTS:
        op.execute(f"GRANT SELECT ON {table} TO kat_tenant")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_rows ON {table} FOR SELECT TO kat_tenant"
            " USING (tenant = current_setting('kat.tenant', true))"
        )


def downgrade() -> None:
    op.execute("DROP TABLE price_version, discount, statement_adjustment, adjustment, statement_usage, statement")
    op.execute("DROP FUNCTION kat_refuse_other_statements(), kat_refuse_change()")
