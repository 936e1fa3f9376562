"""Create the audit log, and indexes for the lists that operators read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Uuid(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("outcome IN ('applied', 'rejected')", name="an_action_has_a_known_outcome"),
    )
    op.create_index("audit_newest_first", "audit", ["at", "id"])
    op.create_index("audit_of_a_subject", "audit", ["subject_id", "at"])
    op.create_index("audit_of_an_actor", "audit", ["actor_id", "at"])
    op.create_index("broadcasts_newest_first", "broadcasts", ["created_at", "id"])
    op.create_index(
        "users_by_phone",
        "users",
        [sa.text("reverse(regexp_replace(phone, '[^0-9]', '', 'g')) text_pattern_ops")],
        postgresql_where=sa.text("phone IS NOT NULL"),
    )
    op.create_index(
        "transporters_newest_first",
        "users",
        ["created_at", "id"],
        postgresql_where=sa.text("role IN ('transporter')"),
    )


def downgrade() -> None:
    op.drop_index("transporters_newest_first", table_name="users")
    op.drop_index("users_by_phone", table_name="users")
    op.drop_index("broadcasts_newest_first", table_name="broadcasts")
    op.drop_table("audit")
