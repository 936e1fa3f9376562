"""Create the first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "broadcasts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("state_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("pickup", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("drop", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("distance_km", sa.Double(), nullable=True),
        sa.Column("goods_type", sa.Text(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("trucks_needed", sa.SmallInteger(), nullable=False),
        sa.Column("request", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("keyed", sa.Boolean(), nullable=False),
        sa.Column("radius_step", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("radius_km", sa.Double(), nullable=True),
        sa.Column("transporters_notified", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('booking', 'order')", name="a_broadcast_is_a_booking_or_an_order"),
        sa.CheckConstraint(
            "status IN ('active', 'broadcasting', 'cancelled', 'completed', 'created', 'expired', 'fully_filled', 'in_progress', 'partially_filled')",
            name="a_broadcast_has_a_known_status",
        ),
        sa.CheckConstraint("trucks_needed BETWEEN 1 AND 50", name="a_broadcast_needs_1_to_50_trucks"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("broadcasts_of_a_customer", "broadcasts", ["customer_id", "created_at"], unique=False)
    op.create_index(
        "broadcasts_open_by_deadline",
        "broadcasts",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('active', 'broadcasting', 'created', 'partially_filled')"),
    )
    op.create_index(
        "one_open_broadcast_per_customer",
        "broadcasts",
        ["customer_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('active', 'broadcasting', 'created', 'partially_filled')"),
    )
    op.create_table(
        "drivers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("transporter_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("license_number", sa.Text(), nullable=True),
        sa.Column("is_available", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("drivers_of_a_fleet", "drivers", ["transporter_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("events_by_age", "events", ["at"], unique=False)
    op.create_table(
        "log_heads",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_table(
        "mailbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("caller_id", sa.Uuid(), nullable=True),
        sa.Column("caller_role", sa.Text(), nullable=True),
        sa.Column("caller_name", sa.Text(), nullable=True),
        sa.Column("caller_phone", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ring_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sweeps", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("parked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("http_status", sa.SmallInteger(), nullable=True),
        sa.Column("result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("replayed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "mailbox_deliveries_in_order",
        "mailbox",
        ["subject_id", "position"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL AND name = 'notifications.deliver'"),
    )
    op.create_index(
        "mailbox_settled_by_age",
        "mailbox",
        ["settled_at"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NOT NULL"),
    )
    op.create_index(
        "mailbox_unsettled_by_queue",
        "mailbox",
        ["queue", "due_at"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_index(
        "mailbox_what_the_sweep_looks_for",
        "mailbox",
        ["ring_at"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL AND parked_at IS NULL"),
    )
    op.create_table(
        "replays",
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("command_id"),
    )
    op.create_index(op.f("ix_replays_at"), "replays", ["at"], unique=False)
    op.create_table(
        "transporters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("is_available", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "recent_changes",
            sa.ARRAY(sa.DateTime(timezone=True)),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "role IN ('admin', 'customer', 'driver', 'transporter')", name="a_user_has_a_known_role"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "vehicles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("transporter_id", sa.Uuid(), nullable=False),
        sa.Column("vehicle_number", sa.Text(), nullable=False),
        sa.Column("plate", sa.Text(), nullable=False),
        sa.Column("vehicle_type", sa.Text(), nullable=False),
        sa.Column("vehicle_subtype", sa.Text(), nullable=False),
        sa.Column("vehicle_key", sa.Text(), nullable=False),
        sa.Column("capacity_kg", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("plate", name="a_vehicle_is_registered_once"),
    )
    op.create_index("vehicles_by_kind", "vehicles", ["vehicle_key", "transporter_id"], unique=False)
    op.create_index(
        "vehicles_of_a_fleet_by_kind", "vehicles", ["transporter_id", "vehicle_key"], unique=False
    )
    op.create_table(
        "log_lines",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("own", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "seq"),
        sa.UniqueConstraint("user_id", "event_id", name="nobody_is_told_the_same_event_twice"),
    )
    op.create_index(op.f("ix_log_lines_event_id"), "log_lines", ["event_id"], unique=False)
    op.create_table(
        "offers",
        sa.Column("broadcast_id", sa.Uuid(), nullable=False),
        sa.Column("transporter_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("distance_km", sa.Double(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("offered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("declined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decline_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["broadcast_id"], ["broadcasts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("broadcast_id", "transporter_id"),
    )
    op.create_index("offers_of_a_transporter", "offers", ["transporter_id", "offered_at"], unique=False)
    op.create_table(
        "transitions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("broadcast_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=True),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("command_id", sa.Uuid(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column(
            "details", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.ForeignKeyConstraint(["broadcast_id"], ["broadcasts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("history_of_a_broadcast", "transitions", ["broadcast_id", "id"], unique=False)
    op.create_table(
        "truck_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("broadcast_id", sa.Uuid(), nullable=False),
        sa.Column("request_number", sa.SmallInteger(), nullable=False),
        sa.Column("vehicle_type", sa.Text(), nullable=False),
        sa.Column("vehicle_subtype", sa.Text(), nullable=False),
        sa.Column("vehicle_key", sa.Text(), nullable=False),
        sa.Column("price_per_truck", sa.Integer(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("state_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('accepted', 'assigned', 'cancelled', 'completed', 'expired', 'held', 'searching')",
            name="a_truck_request_has_a_known_status",
        ),
        sa.ForeignKeyConstraint(["broadcast_id"], ["broadcasts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("broadcast_id", "request_number", name="slots_of_a_broadcast_are_numbered"),
    )
    op.create_table(
        "assignments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("trip_id", sa.Uuid(), nullable=False),
        sa.Column("broadcast_id", sa.Uuid(), nullable=False),
        sa.Column("truck_request_id", sa.Uuid(), nullable=False),
        sa.Column("transporter_id", sa.Uuid(), nullable=False),
        sa.Column("driver_id", sa.Uuid(), nullable=False),
        sa.Column("vehicle_id", sa.Uuid(), nullable=False),
        sa.Column("vehicle_number", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('arrived_at_drop', 'at_pickup', 'cancelled', 'completed', 'driver_accepted', 'driver_declined', 'en_route_pickup', 'in_transit', 'loading_complete', 'pending')",
            name="an_assignment_has_a_known_status",
        ),
        sa.ForeignKeyConstraint(["broadcast_id"], ["broadcasts.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["driver_id"],
            ["drivers.id"],
        ),
        sa.ForeignKeyConstraint(["truck_request_id"], ["truck_requests.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["vehicle_id"],
            ["vehicles.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("trip_id", name="a_trip_is_one_assignment"),
    )
    op.create_index("assignments_of_a_broadcast", "assignments", ["broadcast_id"], unique=False)
    op.create_index("assignments_of_a_driver", "assignments", ["driver_id", "created_at"], unique=False)
    op.create_index(
        "assignments_of_a_transporter", "assignments", ["transporter_id", "created_at"], unique=False
    )
    op.create_index(
        "one_live_assignment_per_driver",
        "assignments",
        ["driver_id"],
        unique=True,
        postgresql_where=sa.text(
            "status IN ('arrived_at_drop', 'at_pickup', 'driver_accepted', 'en_route_pickup', 'in_transit', 'loading_complete', 'pending')"
        ),
    )
    op.create_index(
        "one_live_assignment_per_slot",
        "assignments",
        ["truck_request_id"],
        unique=True,
        postgresql_where=sa.text(
            "status IN ('arrived_at_drop', 'at_pickup', 'driver_accepted', 'en_route_pickup', 'in_transit', 'loading_complete', 'pending')"
        ),
    )
    op.create_index(
        "one_live_assignment_per_vehicle",
        "assignments",
        ["vehicle_id"],
        unique=True,
        postgresql_where=sa.text(
            "status IN ('arrived_at_drop', 'at_pickup', 'driver_accepted', 'en_route_pickup', 'in_transit', 'loading_complete', 'pending')"
        ),
    )


def downgrade() -> None:
    op.drop_index(
        "one_live_assignment_per_vehicle",
        table_name="assignments",
        postgresql_where=sa.text(
            "status IN ('arrived_at_drop', 'at_pickup', 'driver_accepted', 'en_route_pickup', 'in_transit', 'loading_complete', 'pending')"
        ),
    )
    op.drop_index(
        "one_live_assignment_per_slot",
        table_name="assignments",
        postgresql_where=sa.text(
            "status IN ('arrived_at_drop', 'at_pickup', 'driver_accepted', 'en_route_pickup', 'in_transit', 'loading_complete', 'pending')"
        ),
    )
    op.drop_index(
        "one_live_assignment_per_driver",
        table_name="assignments",
        postgresql_where=sa.text(
            "status IN ('arrived_at_drop', 'at_pickup', 'driver_accepted', 'en_route_pickup', 'in_transit', 'loading_complete', 'pending')"
        ),
    )
    op.drop_index("assignments_of_a_transporter", table_name="assignments")
    op.drop_index("assignments_of_a_driver", table_name="assignments")
    op.drop_index("assignments_of_a_broadcast", table_name="assignments")
    op.drop_table("assignments")
    op.drop_table("truck_requests")
    op.drop_index("history_of_a_broadcast", table_name="transitions")
    op.drop_table("transitions")
    op.drop_index("offers_of_a_transporter", table_name="offers")
    op.drop_table("offers")
    op.drop_index(op.f("ix_log_lines_event_id"), table_name="log_lines")
    op.drop_table("log_lines")
    op.drop_index("vehicles_of_a_fleet_by_kind", table_name="vehicles")
    op.drop_index("vehicles_by_kind", table_name="vehicles")
    op.drop_table("vehicles")
    op.drop_table("users")
    op.drop_table("transporters")
    op.drop_index(op.f("ix_replays_at"), table_name="replays")
    op.drop_table("replays")
    op.drop_index(
        "mailbox_what_the_sweep_looks_for",
        table_name="mailbox",
        postgresql_where=sa.text("settled_at IS NULL AND parked_at IS NULL"),
    )
    op.drop_index(
        "mailbox_unsettled_by_queue", table_name="mailbox", postgresql_where=sa.text("settled_at IS NULL")
    )
    op.drop_index(
        "mailbox_settled_by_age", table_name="mailbox", postgresql_where=sa.text("settled_at IS NOT NULL")
    )
    op.drop_index(
        "mailbox_deliveries_in_order",
        table_name="mailbox",
        postgresql_where=sa.text("settled_at IS NULL AND name = 'notifications.deliver'"),
    )
    op.drop_table("mailbox")
    op.drop_table("log_heads")
    op.drop_index("events_by_age", table_name="events")
    op.drop_table("events")
    op.drop_index("drivers_of_a_fleet", table_name="drivers")
    op.drop_table("drivers")
    op.drop_index(
        "one_open_broadcast_per_customer",
        table_name="broadcasts",
        postgresql_where=sa.text("status IN ('active', 'broadcasting', 'created', 'partially_filled')"),
    )
    op.drop_index(
        "broadcasts_open_by_deadline",
        table_name="broadcasts",
        postgresql_where=sa.text("status IN ('active', 'broadcasting', 'created', 'partially_filled')"),
    )
    op.drop_index("broadcasts_of_a_customer", table_name="broadcasts")
    op.drop_table("broadcasts")
