"""Add to each mailbox row the number of times that it may have crashed a worker."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "mailbox", sa.Column("losses", sa.SmallInteger(), server_default=sa.text("0"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("mailbox", "losses")
