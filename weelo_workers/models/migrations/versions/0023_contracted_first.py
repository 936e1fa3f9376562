"""Store until when a broadcast is offered to contracted transporters only (step 0), and allow the reason `soft_cap`."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

REASONS = ("blocked", "next_step", "no_free_truck", "offline", "silent", "too_many_offers")


def upgrade() -> None:
    op.add_column("broadcasts", sa.Column("contracted_until", sa.DateTime(timezone=True), nullable=True))
    _allow_reasons("soft_cap", *REASONS)


def downgrade() -> None:
    op.execute("DELETE FROM passed_over WHERE reason = 'soft_cap'")
    _allow_reasons(*REASONS)
    op.drop_column("broadcasts", "contracted_until")


def _allow_reasons(*reasons: str) -> None:
    op.drop_constraint("a_reason_is_known", "passed_over")
    listed = ", ".join(f"'{reason}'" for reason in sorted(reasons))
    op.create_check_constraint("a_reason_is_known", "passed_over", f"reason IN ({listed})")
