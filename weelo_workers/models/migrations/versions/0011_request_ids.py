"""Store with each command the id of the request that sent the command or led to it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("mailbox", sa.Column("request_id", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("mailbox", "request_id")
