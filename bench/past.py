"""Fills a database with finished broadcasts and all their rows, as after many days of use and of purging.

PostgreSQL generates the rows in the order of ids and without checking foreign keys, so this takes only minutes.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Engine, text

PER_DAY = 10_000
RETENTION_DAYS = 7
PEOPLE = 5_000  # the number of fleets, each with one truck
CUSTOMERS = 50_000

# These users have the most finished broadcasts. Their requests are measured, because they are expected to be the
# slowest.
BUSY_CUSTOMER = UUID(int=1)
BUSY_FLEET = UUID(int=2)
BUSY_DRIVER = UUID(int=3)
BUSY_VEHICLE = UUID(int=4)

PEOPLE_SQL = """
    CREATE UNLOGGED TABLE people AS
        SELECT n, gen_random_uuid() AS fleet, gen_random_uuid() AS driver, gen_random_uuid() AS vehicle
          FROM generate_series(1, :people) AS n;
    INSERT INTO transporters (id, is_available) SELECT fleet, false FROM people;
    INSERT INTO drivers (id, transporter_id, name, phone, created_at)
        SELECT driver, fleet, 'A driver', '+91 98100 00000', now() FROM people;
    INSERT INTO vehicles (id, transporter_id, vehicle_number, plate, vehicle_type, vehicle_subtype, vehicle_key, created_at)
        SELECT vehicle, fleet, 'P' || n, 'P' || n, 'open', '17 Feet', 'open:17ft', now() FROM people;
    INSERT INTO transporters (id, is_available) VALUES (:busy_fleet, true);
    INSERT INTO drivers (id, transporter_id, name, phone, created_at)
        VALUES (:busy_driver, :busy_fleet, 'A driver', '+91 98100 00000', now());
    INSERT INTO vehicles (id, transporter_id, vehicle_number, plate, vehicle_type, vehicle_subtype, vehicle_key, created_at)
        VALUES (:busy_vehicle, :busy_fleet, 'BUSY', 'BUSY', 'open', '17 Feet', 'open:17ft', now());
"""

PAST_SQL = """
    CREATE UNLOGGED TABLE customers AS
        SELECT n, gen_random_uuid() AS id FROM generate_series(0, :customers - 1) AS n;
    CREATE UNLOGGED TABLE past AS
        SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS slot,
               now() - make_interval(secs => (:many - n + 1) * 86400.0 / :per_day) AS at,
               CASE WHEN n % 20 < 12 THEN 'completed' WHEN n % 20 < 17 THEN 'expired' ELSE 'cancelled' END AS status
          FROM generate_series(1, :many) AS n ORDER BY 2;
    ANALYZE past; ANALYZE customers; ANALYZE people;
    INSERT INTO broadcasts (id, kind, customer_id, status, state_changed_at, version, pickup, drop, distance_km, goods_type,
                            trucks_needed, request, keyed, radius_step, transporters_notified, expires_at, created_at)
        SELECT p.id, 'booking', CASE WHEN p.n % 1000 = 0 THEN :busy_customer ELSE c.id END, p.status,
               p.at + interval '2 minutes', 6,
               jsonb_build_object('latitude', 28.6, 'longitude', 77.2, 'address', 'Connaught Place, New Delhi'),
               jsonb_build_object('latitude', 26.9, 'longitude', 75.8, 'address', 'Jaipur'), 260, 'Steel', 1,
               jsonb_build_object('pickup', 'Connaught Place, New Delhi', 'drop', 'Jaipur', 'trucksNeeded', 1,
                                  'vehicleType', 'open', 'vehicleSubtype', '17 Feet'),
               false, 3, 5, p.at + interval '2 minutes', p.at
          FROM past p JOIN customers c ON c.n = p.n % :customers;
    INSERT INTO truck_requests (id, broadcast_id, request_number, vehicle_type, vehicle_subtype, vehicle_key,
                                price_per_truck, status, state_changed_at)
        SELECT slot, id, 1, 'open', '17 Feet', 'open:17ft', 15000, status, at + interval '2 minutes' FROM past;
    INSERT INTO offers (broadcast_id, transporter_id, step, distance_km, version, offered_at)
        SELECT p.id, w.fleet, 1, 3.5, 2, p.at + interval '1 second'
          FROM past p, generate_series(0, 4) AS k JOIN people w ON true
         WHERE w.n = 1 + (p.n * 7 + k * 911) % :people;
    INSERT INTO offers (broadcast_id, transporter_id, step, distance_km, version, offered_at)
        SELECT id, :busy_fleet, 1, 3.5, 2, at + interval '1 second' FROM past WHERE n % 50 = 0;
    INSERT INTO assignments (id, trip_id, broadcast_id, truck_request_id, transporter_id, driver_id, vehicle_id,
                             vehicle_number, status, created_at, state_changed_at)
        SELECT gen_random_uuid(), gen_random_uuid(), p.id, p.slot, w.fleet, w.driver, w.vehicle, 'P' || w.n, 'completed',
               p.at + interval '20 s', p.at + interval '5 h'
          FROM past p JOIN people w ON w.n = 1 + (p.n * 7) % :people WHERE p.status = 'completed' AND p.n % 200 <> 0;
    INSERT INTO assignments (id, trip_id, broadcast_id, truck_request_id, transporter_id, driver_id, vehicle_id,
                             vehicle_number, status, created_at, state_changed_at)
        SELECT gen_random_uuid(), gen_random_uuid(), id, slot, :busy_fleet, :busy_driver, :busy_vehicle, 'BUSY', 'completed',
               at + interval '20 s', at + interval '5 h'
          FROM past WHERE status = 'completed' AND n % 200 = 0;
    INSERT INTO holds (id, broadcast_id, transporter_id, status, state_changed_at, expires_at, created_at)
        SELECT gen_random_uuid(), p.id, w.fleet, 'ended', p.at, p.at, p.at
          FROM past p JOIN people w ON w.n = 1 + (p.n * 7) % :people WHERE p.n % 5 = 0;
    INSERT INTO transitions (broadcast_id, subject, subject_id, name, from_status, to_status, version, at, command_id, cause)
        SELECT p.id, CASE WHEN v % 2 = 0 THEN 'truck_request' ELSE 'broadcast' END,
               CASE WHEN v % 2 = 0 THEN p.slot ELSE p.id END, 'step', 'active', p.status, v,
               p.at + v * interval '10 s', p.id, 'broadcasts.widen'
          FROM past p, generate_series(1, 6) AS v;
    CREATE UNLOGGED TABLE recent AS SELECT * FROM past WHERE at > now() - make_interval(days => :kept_days);
    INSERT INTO mailbox (id, name, queue, payload, caller_id, received_at, due_at, wake_at, settled_at, status,
                         http_status, result)
        SELECT gen_random_uuid(), x.name, x.queue,
               jsonb_build_object('broadcast_id', r.id, 'padding', repeat('x', x.bytes)),
               CASE WHEN x.called THEN gen_random_uuid() END, r.at, r.at + x.after * interval '1 s',
               r.at + x.after * interval '1 s', r.at + x.after * interval '1 s', 'succeeded', 200,
               CASE WHEN x.called THEN jsonb_build_object('id', r.id, 'padding', repeat('x', 900)) END
          FROM recent r, (VALUES
               ('broadcasts.create_booking', 'broadcasts', 500, true, 0), ('broadcasts.expire', 'timers', 0, false, 120),
               ('broadcasts.widen', 'timers', 0, false, 0), ('broadcasts.widen', 'timers', 0, false, 15),
               ('broadcasts.widen', 'timers', 0, false, 30), ('offers.accept', 'offers', 200, true, 20),
               ('trips.accept', 'trips', 50, true, 30), ('trips.expire_assignment', 'timers', 0, false, 65),
               ('fleet.sync_presence', 'fleet', 0, false, 20)) AS x (name, queue, bytes, called, after);
    INSERT INTO events (id, event, at, data)
        SELECT gen_random_uuid(), 'broadcast_state_changed', r.at + k * interval '10 s',
               jsonb_build_object('broadcastId', r.id, 'status', 'active', 'n', r.n, 'padding', repeat('x', 200))
          FROM recent r, generate_series(0, 9) AS k ORDER BY 3;
    INSERT INTO log_lines (user_id, seq, event_id)
        SELECT who, row_number() OVER (PARTITION BY who ORDER BY position), id
          FROM (SELECT e.id, e.position, u.who
                  FROM events e JOIN past p ON p.n = (e.data->>'n')::int
                  JOIN customers c ON c.n = p.n % :customers JOIN people w ON w.n = 1 + p.n % :people
                 CROSS JOIN LATERAL (VALUES (CASE WHEN p.n % 1000 = 0 THEN :busy_customer ELSE c.id END),
                                            (CASE WHEN p.n % 50 = 0 THEN :busy_fleet ELSE w.fleet END)) AS u (who)) AS told;
    INSERT INTO log_heads (user_id, seq) SELECT user_id, max(seq) FROM log_lines GROUP BY user_id;
    INSERT INTO replays (command_id, at) SELECT id, at FROM recent WHERE n % 20 = 0;
    INSERT INTO passed_over (broadcast_id, transporter_id, step, reason, at)
        SELECT r.id, w.fleet, 1, 'silent', r.at FROM recent r, generate_series(0, 4) AS k
          JOIN people w ON true WHERE w.n = 1 + (r.n * 13 + k * 577) % :people;
    DROP TABLE past, recent, customers;
"""

SIZES = """
    SELECT relname AS name, n_live_tup AS rows FROM pg_stat_user_tables
     WHERE n_live_tup > 10000 ORDER BY n_live_tup DESC
"""


def populate(engine: Engine) -> None:
    """Insert fleets with a driver and a vehicle each. Databases without finished broadcasts need them, too."""
    _run(engine, PEOPLE_SQL)


def make_past(engine: Engine, broadcasts: int) -> None:
    """Insert this many finished broadcasts, PER_DAY for each past day.

    Their oldest commands and events are one day older than the retention period, so that there are rows to purge.
    """
    _run(engine, PAST_SQL, many=broadcasts, kept_days=RETENTION_DAYS + 1)


def settle_down(engine: Engine) -> None:
    """Vacuum and analyze, as autovacuum would."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("CHECKPOINT"))


def sizes(engine: Engine) -> dict[str, float]:
    """Return the size of the database in GiB, and the number of rows of its large tables."""
    with engine.connect() as connection:
        bytes_ = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        tables = connection.execute(text(SIZES)).all()
    return {"GiB": bytes_ / 2**30, **{row.name: row.rows for row in tables}}


def _run(engine: Engine, script: str, **more: int) -> None:
    known = {
        "people": PEOPLE,
        "customers": CUSTOMERS,
        "per_day": PER_DAY,
        "busy_customer": BUSY_CUSTOMER,
        "busy_fleet": BUSY_FLEET,
        "busy_driver": BUSY_DRIVER,
        "busy_vehicle": BUSY_VEHICLE,
        **more,
    }
    with engine.begin() as connection:
        for setting in (
            "statement_timeout = 0",
            "session_replication_role = replica",
            "synchronous_commit = off",
            "work_mem = '256MB'",
            "maintenance_work_mem = '512MB'",
        ):
            connection.execute(text(f"SET LOCAL {setting}"))
        for statement in script.split(";\n"):
            for each in statement.split("; "):
                if each.strip():
                    wanted = {name: value for name, value in known.items() if f":{name}" in each}
                    connection.execute(text(each), wanted)
