"""Relations of customers and transporters: blocked, preferred, contracted."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "relations",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("transporter_id", sa.Uuid(), nullable=False),
        sa.Column("blocked_by_customer_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("blocked_by_transporter_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("preferred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("contracted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "transporter_id"),
        sa.CheckConstraint(
            "blocked_by_customer_at IS NULL OR preferred_at IS NULL",
            name="a_customer_either_blocks_or_prefers_a_transporter",
        ),
    )
    op.create_index("relations_of_a_transporter", "relations", ["transporter_id", "customer_id"])


def downgrade() -> None:
    op.drop_table("relations")
