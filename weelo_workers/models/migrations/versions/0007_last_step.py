"""Mark offers of the last step, and index the transporters who were passed over because they had too many open offers."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "offers", sa.Column("last_step", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_index(
        "passed_over_without_room",
        "passed_over",
        ["transporter_id"],
        postgresql_where=sa.text("reason IN ('too_many_offers')"),
    )


def downgrade() -> None:
    op.drop_index("passed_over_without_room", table_name="passed_over")
    op.drop_column("offers", "last_step")
