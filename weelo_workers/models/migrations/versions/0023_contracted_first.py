"""Step 0 of a broadcast (until when only contracted transporters have the offer), and the reason `soft_cap`."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

BEFORE = "'next_step', 'no_free_truck', 'offline', 'silent', 'too_many_offers', 'blocked'"


def upgrade() -> None:
    op.add_column("broadcasts", sa.Column("contracted_until", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint("a_reason_is_known", "passed_over", type_="check")
    op.create_check_constraint("a_reason_is_known", "passed_over", f"reason IN ({BEFORE}, 'soft_cap')")


def downgrade() -> None:
    op.execute("DELETE FROM passed_over WHERE reason = 'soft_cap'")
    op.drop_constraint("a_reason_is_known", "passed_over", type_="check")
    op.create_check_constraint("a_reason_is_known", "passed_over", f"reason IN ({BEFORE})")
    op.drop_column("broadcasts", "contracted_until")
