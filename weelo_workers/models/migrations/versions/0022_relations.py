"""Add relations of customers and transporters (blocked, preferred, contracted), and the time of an offer's withdrawal."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

REASONS = ("next_step", "no_free_truck", "offline", "silent", "too_many_offers")


def upgrade() -> None:
    op.create_table(
        "relations",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("transporter_id", sa.Uuid(), nullable=False),
        sa.Column("blocked_by_customer_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("blocked_by_transporter_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("preferred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("contracted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "transporter_id"),
        sa.CheckConstraint(
            "blocked_by_customer_at IS NULL OR preferred_at IS NULL",
            name="a_customer_either_blocks_or_prefers_a_transporter",
        ),
    )
    op.create_index("relations_of_a_transporter", "relations", ["transporter_id", "customer_id"])
    op.add_column("offers", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))
    _allow_reasons("blocked", *REASONS)


def downgrade() -> None:
    op.execute("DELETE FROM passed_over WHERE reason = 'blocked'")
    _allow_reasons(*REASONS)
    op.drop_column("offers", "withdrawn_at")
    op.drop_table("relations")


def _allow_reasons(*reasons: str) -> None:
    op.drop_constraint("a_reason_is_known", "passed_over")
    listed = ", ".join(f"'{reason}'" for reason in reasons)
    op.create_check_constraint("a_reason_is_known", "passed_over", f"reason IN ({listed})")
