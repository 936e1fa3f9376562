"""Create the table of erasures, and store the HTTP status with which a webhook's endpoint answered the last failed attempt."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("last_http_status", sa.SmallInteger(), nullable=True))
    op.create_table(
        "erasures",
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("cursor", postgresql.JSONB(), nullable=True),
        sa.Column("request_ids", postgresql.JSONB(), nullable=True),
        sa.Column("changed", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("command_id"),
    )
    op.create_index("erasures_of_a_person", "erasures", ["person_id", "requested_at"])


def downgrade() -> None:
    # This command is deleted, because a worker of the earlier version does not know it.
    op.execute("DELETE FROM mailbox WHERE name = 'person.erase' AND settled_at IS NULL")
    op.drop_table("erasures")
    op.drop_column("webhooks", "last_http_status")
