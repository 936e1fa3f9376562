"""Create the table of the transporters whom a step of a broadcast passed over, with the reasons."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "passed_over",
        sa.Column("broadcast_id", sa.Uuid(), nullable=False),
        sa.Column("transporter_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("distance_km", sa.Double(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "reason IN ('next_step', 'no_free_truck', 'offline', 'silent', 'too_many_offers')",
            name="a_reason_is_known",
        ),
        sa.ForeignKeyConstraint(["broadcast_id"], ["broadcasts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("broadcast_id", "transporter_id", "step"),
    )
    op.create_index("passed_over_by_age", "passed_over", ["at"], unique=False)


def downgrade() -> None:
    op.drop_table("passed_over")
