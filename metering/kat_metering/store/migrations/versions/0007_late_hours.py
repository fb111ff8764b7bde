"""Which hours of months that were over have changed, so that a draft need not read the months that are settled.

Corrections of measurements are audited.

Revision ID: 0007
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LATE_HOURS = """
CREATE TABLE late_hour (
    tenant TEXT NOT NULL,
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    revision BIGINT NOT NULL,
    CONSTRAINT late_hour_pkey PRIMARY KEY (tenant, hour)
);
CREATE INDEX late_hour_tenant_revision ON late_hour (tenant, revision);
GRANT SELECT ON late_hour TO kat_tenant, kat_admin;
ALTER TABLE late_hour ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON late_hour FOR SELECT TO kat_tenant USING (tenant = current_setting('kat.tenant', true));
CREATE POLICY every_row_of_admins ON late_hour TO kat_admin USING (true) WITH CHECK (true);

ALTER TABLE rollup_state ADD COLUMN rebuilt_revision BIGINT DEFAULT 0 NOT NULL;
ALTER TABLE statement ADD COLUMN rollup_revision BIGINT;
"""

# Programs write measurements, row by row and by the thousand; each row says itself when it came and of what. An hour
# grows while its replica runs. What is put down is a figure that was there and was replaced, or taken away.
CORRECTIONS = """
CREATE TRIGGER audit_correction AFTER UPDATE ON replica_hour FOR EACH ROW
    WHEN (
        (OLD.source, OLD.hour, OLD.gpus, OLD.gpu_hour_price, OLD.currency)
            IS DISTINCT FROM (NEW.source, NEW.hour, NEW.gpus, NEW.gpu_hour_price, NEW.currency)
        OR NEW.seconds < OLD.seconds
    )
    EXECUTE FUNCTION kat_audit('source,hour', '', '');
CREATE TRIGGER audit_deletion AFTER DELETE ON replica_hour
    FOR EACH ROW EXECUTE FUNCTION kat_audit('source,hour', '', '');
CREATE TRIGGER audit_correction AFTER UPDATE OR DELETE ON shadow_sample
    FOR EACH ROW EXECUTE FUNCTION kat_audit('id', '', '');
"""


def upgrade() -> None:
    for script in (LATE_HOURS, CORRECTIONS):
        op.execute(script)


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_correction ON shadow_sample")
    op.execute("DROP TRIGGER audit_deletion ON replica_hour")
    op.execute("DROP TRIGGER audit_correction ON replica_hour")
    op.execute("ALTER TABLE statement DROP COLUMN rollup_revision")
    op.execute("ALTER TABLE rollup_state DROP COLUMN rebuilt_revision")
    op.execute("DROP TABLE late_hour")
