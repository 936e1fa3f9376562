"""Add columns and indexes for purging and for operating the mailbox."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # PostgreSQL rewrites the table and numbers existing rows in physical order, which is approximately the order in
    # which they were written. Events are purged in the order of these numbers. Where the two orders differ, a line may
    # be purged before an older line of the same log, which leaves a gap until the older line is purged.
    op.add_column("events", sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False))
    op.create_unique_constraint("events_are_written_one_after_another", "events", ["position"])
    op.drop_index("events_by_age", table_name="events")
    op.add_column("mailbox", sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "mailbox_parked_by_age",
        "mailbox",
        ["parked_at"],
        unique=False,
        postgresql_where=sa.text("parked_at IS NOT NULL"),
    )
    op.create_index(
        "broadcasts_over_by_age",
        "broadcasts",
        ["state_changed_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('cancelled', 'completed', 'expired')"),
    )
    # Without this index, purging a slot would scan all assignments for those of the slot.
    op.create_index("assignments_of_a_slot", "assignments", ["truck_request_id"], unique=False)


def downgrade() -> None:
    op.drop_index("assignments_of_a_slot", table_name="assignments")
    op.drop_index(
        "broadcasts_over_by_age",
        table_name="broadcasts",
        postgresql_where=sa.text("status IN ('cancelled', 'completed', 'expired')"),
    )
    op.drop_index(
        "mailbox_parked_by_age", table_name="mailbox", postgresql_where=sa.text("parked_at IS NOT NULL")
    )
    op.drop_column("mailbox", "retry_at")
    op.create_index("events_by_age", "events", ["at"], unique=False)
    op.drop_constraint("events_are_written_one_after_another", "events")
    op.drop_column("events", "position")
