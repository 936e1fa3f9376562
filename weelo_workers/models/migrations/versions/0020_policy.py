"""Store with each broadcast the policy with which it began. Older broadcasts have none, and use the environment's settings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column("broadcasts", sa.Column("policy_settings", postgresql.JSONB(), nullable=True))
    op.add_column("broadcasts", sa.Column("policy_scope", sa.Text(), nullable=True))
    op.add_column("broadcasts", sa.Column("policy_version", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("broadcasts", "policy_version")
    op.drop_column("broadcasts", "policy_scope")
    op.drop_column("broadcasts", "policy_settings")
