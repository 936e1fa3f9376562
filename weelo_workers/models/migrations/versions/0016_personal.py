"""The status with which a webhook's endpoint answered the last failed attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("last_http_status", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("webhooks", "last_http_status")
