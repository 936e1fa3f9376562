"""Create the tables of users' webhooks and of what was posted to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", postgresql.JSONB(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("delivered_seq", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("secret_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("old_secrets", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint(
            "disabled_reason IN ('failing', 'gone', 'owner')", name="a_webhook_is_disabled_for_a_known_reason"
        ),
    )
    op.create_index("webhooks_of_a_user", "webhooks", ["user_id", "created_at"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("http_status", sa.SmallInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("kind IN ('log', 'resend', 'test')", name="a_delivery_is_of_a_known_kind"),
        sa.CheckConstraint(
            "status IN ('failed', 'pending', 'succeeded')", name="a_delivery_has_a_known_status"
        ),
    )
    op.create_index("webhook_deliveries_newest_first", "webhook_deliveries", ["webhook_id", "at", "id"])
    op.create_index(
        "webhook_deliveries_to_resend",
        "webhook_deliveries",
        ["webhook_id", "at", "seq"],
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index("webhook_deliveries_by_age", "webhook_deliveries", ["at"])
    op.create_index(
        "mailbox_deliveries_of_a_webhook",
        "mailbox",
        [sa.text("(payload ->> 'webhook_id')")],
        postgresql_where=sa.text("settled_at IS NULL AND queue = 'webhooks'"),
    )


def downgrade() -> None:
    # Commands about webhooks are deleted, because a worker of the earlier version does not know them.
    op.execute("DELETE FROM mailbox WHERE queue = 'webhooks' AND settled_at IS NULL")
    op.drop_index("mailbox_deliveries_of_a_webhook", table_name="mailbox")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
