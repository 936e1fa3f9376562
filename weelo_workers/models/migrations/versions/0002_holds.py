"""Create the table of holds."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("broadcast_id", sa.Uuid(), nullable=False),
        sa.Column("transporter_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("state_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('confirmed', 'ended', 'expired', 'open', 'released')",
            name="a_hold_has_a_known_status",
        ),
        sa.ForeignKeyConstraint(["broadcast_id"], ["broadcasts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "holds_of_a_broadcast", "holds", ["broadcast_id", "transporter_id", "created_at"], unique=False
    )
    op.create_index(
        "one_open_hold_per_transporter_and_broadcast",
        "holds",
        ["broadcast_id", "transporter_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('open')"),
    )
    op.add_column("truck_requests", sa.Column("hold_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        "truck_requests_hold_id_fkey", "truck_requests", "holds", ["hold_id"], ["id"], ondelete="SET NULL"
    )
    op.create_check_constraint(
        "a_held_slot_names_its_hold", "truck_requests", "status <> 'held' OR hold_id IS NOT NULL"
    )
    op.create_index(
        "slots_of_a_hold",
        "truck_requests",
        ["hold_id"],
        unique=False,
        postgresql_where=sa.text("hold_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_column("truck_requests", "hold_id")  # This also drops the column's constraints and indexes.
    op.drop_index(
        "one_open_hold_per_transporter_and_broadcast",
        table_name="holds",
        postgresql_where=sa.text("status IN ('open')"),
    )
    op.drop_index("holds_of_a_broadcast", table_name="holds")
    op.drop_table("holds")
