"""Tenants weigh: how they share a full replica.

Revision ID: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# With a constant default Postgres rewrites no row.
WEIGHT = """
ALTER TABLE tenant
    ADD COLUMN weight NUMERIC DEFAULT 1 NOT NULL,
    ADD CONSTRAINT tenant_weight_check CHECK (weight BETWEEN 0.01 AND 100);
"""


def upgrade() -> None:
    op.execute(WEIGHT)


def downgrade() -> None:
    op.execute("ALTER TABLE tenant DROP COLUMN weight")
