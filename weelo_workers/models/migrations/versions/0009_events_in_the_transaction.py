"""Drop the columns that ordered the delivery of events, because each transaction now writes its events into the logs itself."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.drop_index("mailbox_deliveries_in_order", table_name="mailbox")
    op.drop_column("mailbox", "subject_id")
    op.drop_column("mailbox", "position")


def downgrade() -> None:
    op.add_column("mailbox", sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False))
    op.add_column("mailbox", sa.Column("subject_id", sa.Uuid(), nullable=True))
    op.create_index(
        "mailbox_deliveries_in_order",
        "mailbox",
        ["subject_id", "position"],
        postgresql_where=sa.text("settled_at IS NULL AND name = 'notifications.deliver'"),
    )
