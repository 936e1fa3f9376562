"""Create the tables of the policies that operators store: scopes, and versions that never change."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "policy_scopes",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
        sa.CheckConstraint(
            "version > 0 OR scope = 'default'", name="a_scope_other_than_default_has_a_version"
        ),
    )
    op.create_table(
        "policy_versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("area", postgresql.JSONB(), nullable=True),
        sa.Column("vehicle_types", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("settings", postgresql.JSONB(), nullable=False),
        sa.Column("longest_search_seconds", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("scope", "version", name="versions_of_a_policy_are_numbered"),
        sa.CheckConstraint(
            "scope <> 'default' OR (area IS NULL AND vehicle_types IS NULL)",
            name="the_default_policy_is_for_everything",
        ),
    )
    op.create_index("policy_versions_by_longest_search", "policy_versions", ["longest_search_seconds"])


def downgrade() -> None:
    op.drop_table("policy_versions")
    op.drop_table("policy_scopes")
