"""Store when a broadcast got its trucks and by which ring's offer, and index what the market figures read."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("broadcasts", sa.Column("first_won_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("broadcasts", sa.Column("filled_at", sa.DateTime(timezone=True), nullable=True))
    # While old and new workers run side by side, an old one does not set these times. The figures of seconds leave out
    # the few broadcasts that it has assigned trucks to meanwhile.
    op.execute("""
        UPDATE broadcasts b SET first_won_at = w.first, filled_at = w.filled
          FROM (SELECT broadcast_id,
                       min(at) FILTER (WHERE name IN ('take_some', 'take_last')) AS first,
                       min(at) FILTER (WHERE name = 'take_last') AS filled
                  FROM transitions
                 WHERE subject = 'broadcast' AND name IN ('take_some', 'take_last')
                 GROUP BY broadcast_id) w
         WHERE b.id = w.broadcast_id
    """)
    # In older rows it is null, and the figures read the offer.
    op.add_column("assignments", sa.Column("ring", sa.Text(), nullable=True))
    op.create_index(
        "history_of_ended_slots",
        "transitions",
        ["broadcast_id"],
        unique=False,
        postgresql_where=sa.text(
            "name IN ('cancel', 'cancel_truck', 'end_failed', 'expire', 'report_no_show')"
        ),
    )
    op.create_index(
        "mailbox_rejected_offers",
        "mailbox",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("status = 'rejected' AND queue = 'offers'"),
    )


def downgrade() -> None:
    op.drop_index(
        "mailbox_rejected_offers",
        table_name="mailbox",
        postgresql_where=sa.text("status = 'rejected' AND queue = 'offers'"),
    )
    op.drop_index(
        "history_of_ended_slots",
        table_name="transitions",
        postgresql_where=sa.text(
            "name IN ('cancel', 'cancel_truck', 'end_failed', 'expire', 'report_no_show')"
        ),
    )
    op.drop_column("assignments", "ring")
    op.drop_column("broadcasts", "filled_at")
    op.drop_column("broadcasts", "first_won_at")
