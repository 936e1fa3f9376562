"""The least SQL with which one truck can be accepted, executed by psycopg2 on one connection.

Each accept is one transaction. It locks the broadcast, takes the slot if it is open, inserts the assignment, and
advances the broadcast. It writes the history, a timer, a follow-up command, and one event for one reader. Finally it
records the outcome of the accept. It does not check whether the truck is free, because a partial unique index of
`assignments` would reject a busy truck.
"""

from __future__ import annotations

import json
from uuid import uuid4

import psycopg2
from psycopg2.extras import register_uuid

FLEET = uuid4()

PREPARE = """
    CREATE TEMPORARY TABLE bare AS
        SELECT n, gen_random_uuid() AS command, gen_random_uuid() AS broadcast, gen_random_uuid() AS slot,
               gen_random_uuid() AS vehicle, gen_random_uuid() AS driver FROM generate_series(1, %(many)s) AS n;
    INSERT INTO vehicles (id, transporter_id, vehicle_number, plate, vehicle_type, vehicle_subtype, vehicle_key, created_at)
        SELECT vehicle, %(fleet)s, vehicle, vehicle, 'open', '17 Feet', 'open:17ft', now() FROM bare;
    INSERT INTO drivers (id, transporter_id, name, phone, created_at)
        SELECT driver, %(fleet)s, 'A driver', '+91 98100 00000', now() FROM bare;
    INSERT INTO broadcasts (id, kind, customer_id, status, state_changed_at, version, pickup, drop, trucks_needed, request,
                            keyed, radius_step, transporters_notified, expires_at, created_at)
        SELECT broadcast, 'booking', gen_random_uuid(), 'active', now(), 2,
               '{"latitude": 28.6, "longitude": 77.2, "address": "New Delhi"}',
               '{"latitude": 26.9, "longitude": 75.8, "address": "Jaipur"}', 1, '{}', true, 1, 1,
               now() + interval '1 hour', now() FROM bare;
    INSERT INTO truck_requests (id, broadcast_id, request_number, vehicle_type, vehicle_subtype, vehicle_key, status,
                                state_changed_at)
        SELECT slot, broadcast, 1, 'open', '17 Feet', 'open:17ft', 'searching', now() FROM bare;
    INSERT INTO offers (broadcast_id, transporter_id, step, distance_km, version, offered_at)
        SELECT broadcast, %(fleet)s, 1, 1.1, 2, now() FROM bare;
    INSERT INTO mailbox (id, name, queue, payload, caller_id, due_at, wake_at)
        SELECT command, 'offers.accept', 'offers', jsonb_build_object('broadcast_id', broadcast), %(fleet)s, now(),
               now() + interval '1 second' FROM bare;
    SELECT command, broadcast, slot, vehicle, driver FROM bare ORDER BY n
"""

ACCEPT = """
    SELECT status, version, expires_at, clock_timestamp() AS now FROM broadcasts WHERE id = %(broadcast)s FOR NO KEY UPDATE;
    UPDATE truck_requests SET status = 'assigned', state_changed_at = now()
     WHERE id = %(slot)s AND status IN ('searching', 'held') RETURNING id;
    INSERT INTO assignments (id, trip_id, broadcast_id, truck_request_id, transporter_id, driver_id, vehicle_id,
                             vehicle_number, status, expires_at, created_at, state_changed_at)
        VALUES (%(assignment)s, %(trip)s, %(broadcast)s, %(slot)s, %(fleet)s, %(driver)s, %(vehicle)s, 'B', 'pending',
                now() + interval '45 seconds', now(), now());
    UPDATE broadcasts SET status = 'fully_filled', state_changed_at = now(), version = version + 1
     WHERE id = %(broadcast)s AND status IN ('active', 'partially_filled') RETURNING version;
    INSERT INTO transitions (subject, subject_id, name, from_status, to_status, broadcast_id, version, at, command_id,
                             cause, actor_id)
        SELECT moved.*, %(broadcast)s, 3, now(), %(command)s, 'offers.accept', %(fleet)s
          FROM (VALUES ('truck_request', %(slot)s, 'assign', 'searching', 'assigned'),
                       ('assignment', %(assignment)s, 'win', NULL, 'pending'),
                       ('broadcast', %(broadcast)s, 'take_last', 'active', 'fully_filled')) AS moved;
    INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at) VALUES
        (%(timer)s, 'trips.expire_assignment', 'timers', %(small)s, now() + interval '45 s', now() + interval '46 s'),
        (%(sync)s, 'fleet.sync_presence', 'fleet', %(small)s, now(), now() + interval '1 s');
    INSERT INTO log_heads AS head (user_id, seq) VALUES (%(fleet)s, 1)
        ON CONFLICT (user_id) DO UPDATE SET seq = head.seq + 1;
    INSERT INTO events (id, event, at, data) VALUES (%(event)s, 'command_settled', now(), %(large)s);
    INSERT INTO log_lines (user_id, seq, event_id) SELECT user_id, seq, %(event)s FROM log_heads WHERE user_id = %(fleet)s;
    UPDATE mailbox SET settled_at = now(), status = 'succeeded', http_status = 200, result = %(result)s
     WHERE id = %(command)s
"""

# The texts in the rows are about as long as those of the running system.
PAYLOADS = {
    "small": json.dumps({"assignment_id": str(FLEET)}),
    "large": json.dumps({"padding": "x" * 3_000}),
    "result": json.dumps({"padding": "x" * 600}),
}


class BareAccepts:
    """Inserts the rows for `many` accepts, and executes the accepts on one connection."""

    def __init__(self, url: str, many: int) -> None:
        register_uuid()
        self._connection = psycopg2.connect(url)
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(PREPARE, {"many": many, "fleet": FLEET})
            prepared = cursor.fetchall()
            cursor.execute("DROP TABLE bare")
        self.backend_pid: int = self._connection.info.backend_pid
        given, made = (
            ("command", "broadcast", "slot", "vehicle", "driver"),
            ("assignment", "trip", "timer", "sync", "event"),
        )
        self._parameters = [
            {
                **PAYLOADS,
                "fleet": FLEET,
                **dict(zip(given, row, strict=True)),
                **{name: uuid4() for name in made},
            }
            for row in prepared
        ]

    def run(self) -> None:
        """Execute all accepts, each in its own transaction."""
        with self._connection.cursor() as cursor:
            for parameters in self._parameters:
                for statement in ACCEPT.split(";"):
                    cursor.execute(statement, parameters)
                    assert cursor.rowcount, statement
                self._connection.commit()

    def close(self) -> None:
        self._connection.close()
