"""Store with each command the `traceparent` of the step that sent it, so that the worker can continue the trace."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("mailbox", sa.Column("traceparent", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("mailbox", "traceparent")
