"""Add columns for trips that end early: reason codes, replaced drivers, new search rounds, times by phones' clocks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"

CODES = (
    "breakdown",
    "driver_asked",
    "driver_timeout",
    "driver_unavailable",
    "found_elsewhere",
    "goods_mismatch",
    "other",
    "pickup_unreachable",
    "plans_changed",
    "price",
    "replaced",
    "safety",
    "stalled",
    "too_slow",
    "vehicle_unavailable",
    "wrong_details",
)
BEFORE = (
    "arrived_at_drop",
    "at_pickup",
    "cancelled",
    "completed",
    "driver_accepted",
    "driver_declined",
    "en_route_pickup",
    "in_transit",
    "loading_complete",
    "pending",
)
NEW = ("customer_no_show", "failed", "given_back")


def quoted(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


def upgrade() -> None:
    op.add_column(
        "broadcasts", sa.Column("reoffer_rounds", sa.SmallInteger(), server_default="0", nullable=False)
    )
    op.add_column("transitions", sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True))

    op.add_column("passed_over", sa.Column("round", sa.SmallInteger(), server_default="0", nullable=False))
    op.drop_constraint("passed_over_pkey", "passed_over", type_="primary")
    op.create_primary_key(
        "passed_over_pkey", "passed_over", ["broadcast_id", "transporter_id", "round", "step"]
    )

    op.add_column("assignments", sa.Column("reason_code", sa.Text(), nullable=True))
    op.add_column(
        "assignments",
        sa.Column("replaced_drivers", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
    )
    op.alter_column("assignments", "reason", new_column_name="note")
    # Only the history shows whether the system or the driver gave the reason "timeout", so it is read here.
    op.execute("""
        UPDATE assignments a SET reason_code = 'driver_timeout', note = NULL
         WHERE a.note = 'timeout' AND a.status = 'driver_declined'
           AND EXISTS (SELECT 1 FROM transitions t
                        WHERE t.broadcast_id = a.broadcast_id AND t.subject_id = a.id
                          AND t.name = 'decline' AND t.cause = 'trips.expire_assignment')
    """)
    # These two texts are deleted: the system wrote them, and they only repeat the status. A driver's note with the same
    # text may be deleted too. It also only repeats the status.
    op.execute("""
        UPDATE assignments SET note = NULL
         WHERE (status = 'cancelled' AND note = 'customer_cancelled') OR (status = 'driver_declined' AND note = 'declined')
    """)
    op.drop_constraint("an_assignment_has_a_known_status", "assignments", type_="check")
    op.create_check_constraint(
        "an_assignment_has_a_known_status", "assignments", f"status IN ({quoted(BEFORE + NEW)})"
    )
    op.create_check_constraint(
        "an_assignment_has_a_known_reason", "assignments", f"reason_code IN ({quoted(CODES)})"
    )
    op.create_index(
        "assignments_given_back",
        "assignments",
        ["broadcast_id", "transporter_id"],
        postgresql_where=sa.text("status IN ('given_back')"),
    )

    op.add_column("offers", sa.Column("first_offered_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("offers", sa.Column("decline_reason_code", sa.Text(), nullable=True))
    op.add_column(
        "offers", sa.Column("may_be_offered_again", sa.Boolean(), server_default="false", nullable=False)
    )
    op.alter_column("offers", "decline_reason", new_column_name="decline_note")
    op.execute("UPDATE offers SET decline_note = NULL WHERE decline_note = 'driver_refused'")
    op.create_check_constraint(
        "an_offer_has_a_known_reason", "offers", f"decline_reason_code IN ({quoted(CODES)})"
    )
    # Assignments whose status changed in the last day get the timers that watch them, with the default durations. Older
    # ones get no timer, because a timer could start the search for another truck although the customer may not need one
    # any more. An operator can end these trips.
    op.execute("""
        INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at)
        SELECT gen_random_uuid(), name, 'timers', payload, due_at, due_at
          FROM assignments a
          JOIN (VALUES ('driver_accepted', 'trips.remind_to_start', '{}'::jsonb, interval '900 s'),
                       ('en_route_pickup', 'trips.report_stalled', '{"status": "en_route_pickup"}', interval '21600 s'),
                       ('at_pickup', 'trips.report_stalled', '{"status": "at_pickup"}', interval '1800 s')
               ) AS timer (status, name, more, after) USING (status)
         CROSS JOIN LATERAL (SELECT timer.more || jsonb_build_object('assignment_id', a.id, 'since', a.state_changed_at)
                                      AS payload,
                                    GREATEST(a.state_changed_at + timer.after, clock_timestamp()) AS due_at) AS new
         WHERE a.state_changed_at > clock_timestamp() - interval '1 day'
    """)


def downgrade() -> None:
    op.execute("""
        DELETE FROM mailbox
         WHERE name IN ('trips.remind_to_start', 'trips.give_back_stalled', 'trips.report_stalled')
           AND settled_at IS NULL
    """)
    op.drop_constraint("an_offer_has_a_known_reason", "offers", type_="check")
    op.alter_column("offers", "decline_note", new_column_name="decline_reason")
    op.drop_column("offers", "may_be_offered_again")
    op.drop_column("offers", "decline_reason_code")
    op.drop_column("offers", "first_offered_at")

    op.drop_index("assignments_given_back", table_name="assignments")
    op.drop_constraint("an_assignment_has_a_known_reason", "assignments", type_="check")
    op.drop_constraint("an_assignment_has_a_known_status", "assignments", type_="check")
    # The earlier version does not know three of the statuses of lost trucks, so they are replaced by statuses that it
    # knows.
    op.execute("UPDATE assignments SET status = 'driver_declined' WHERE status = 'given_back'")
    op.execute("UPDATE assignments SET status = 'cancelled' WHERE status IN ('customer_no_show', 'failed')")
    op.execute("UPDATE assignments SET note = 'customer_cancelled' WHERE status = 'cancelled'")
    op.create_check_constraint(
        "an_assignment_has_a_known_status", "assignments", f"status IN ({quoted(BEFORE)})"
    )
    op.alter_column("assignments", "note", new_column_name="reason")
    op.execute("UPDATE assignments SET reason = 'timeout' WHERE reason_code = 'driver_timeout'")
    op.drop_column("assignments", "replaced_drivers")
    op.drop_column("assignments", "reason_code")

    op.drop_constraint("passed_over_pkey", "passed_over", type_="primary")
    op.execute("DELETE FROM passed_over WHERE round > 0")
    op.drop_column("passed_over", "round")
    op.create_primary_key("passed_over_pkey", "passed_over", ["broadcast_id", "transporter_id", "step"])

    op.drop_column("transitions", "occurred_at")
    op.drop_column("broadcasts", "reoffer_rounds")
