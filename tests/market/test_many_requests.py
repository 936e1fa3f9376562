"""The market figures are right and fast with 100,000 requests in their window of time, and older requests before it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support.world import World
from weelo_workers.models.engine import read_engine
from weelo_workers.queries import market

REQUESTS = 100_000
OFFERS_EACH = 5

# Requests with two slots. Of ten requests, five are filled, one is partly filled, two expire, one is cancelled, and one is
# cancelled after both trucks were won. Each has about ten transitions, and one of ten has an accept that came too late.
_ROWS = """
    CREATE TEMP TABLE made ON COMMIT DROP AS
        SELECT gen_random_uuid() AS id, n, n % 10 AS kind, CAST(:start AS timestamptz) + n * interval '0.8 s' AS at,
               gen_random_uuid() AS command_id, gen_random_uuid() AS slot_1, gen_random_uuid() AS slot_2
          FROM generate_series(1, :requests) n;
    INSERT INTO broadcasts (id, kind, customer_id, status, state_changed_at, version, pickup, "drop", trucks_needed, request, keyed,
                            transporters_notified, end_reason, expires_at, created_at, first_won_at, filled_at)
        SELECT id, 'booking', id, CASE WHEN kind < 6 THEN 'completed' WHEN kind < 8 THEN 'expired' ELSE 'cancelled' END, at, 9,
               '{}', '{}', 2, '{"vehicleType": "open", "trucksNeeded": 2}', false, :offers,
               CASE WHEN kind < 6 THEN NULL WHEN kind < 8 THEN 'nobody_accepted' ELSE 'customer_cancelled' END,
               at, at, CASE WHEN kind < 6 OR kind = 9 THEN at + interval '12 s' END,
               CASE WHEN kind < 5 OR kind = 9 THEN at + interval '30 s' END
          FROM made;
    INSERT INTO truck_requests (id, broadcast_id, request_number, vehicle_type, vehicle_subtype, vehicle_key, status, state_changed_at)
        SELECT CASE number WHEN 1 THEN slot_1 ELSE slot_2 END, id, number, CASE n % 3 WHEN 0 THEN 'container' ELSE 'open' END, 'x', 'x',
               CASE WHEN kind < 5 OR (kind = 5 AND number = 1) THEN 'completed' WHEN kind < 8 THEN 'expired' ELSE 'cancelled' END, at
          FROM made, generate_series(1, 2) number;
    INSERT INTO offers (broadcast_id, transporter_id, step, last_step, version, offered_at)
        SELECT id, md5((n % 100 * 10 + number)::text)::uuid, 1 + number % 3, false, 2, at FROM made, generate_series(1, :offers) number;
    INSERT INTO assignments (id, trip_id, broadcast_id, truck_request_id, transporter_id, driver_id, vehicle_id, vehicle_number, status,
                             created_at, state_changed_at, ring)
        SELECT md5(id::text || number)::uuid, gen_random_uuid(), id, CASE number WHEN 1 THEN slot_1 ELSE slot_2 END,
               md5((n % 100 * 10 + number)::text)::uuid, :driver, :vehicle, 'HR55X0001',
               CASE WHEN kind < 6 THEN 'completed' ELSE 'cancelled' END, at, at, '1'
          FROM made, generate_series(1, 2) number WHERE kind < 5 OR kind = 9 OR (kind = 5 AND number = 1);
    INSERT INTO transitions (broadcast_id, subject, subject_id, name, from_status, to_status, version, at, command_id, cause, details)
        SELECT id, 'broadcast', id, 'widen_unfilled', 'active', 'active', 2, at, gen_random_uuid(), 'broadcasts.widen',
               '{"step": 2, "told": 1, "radiusKm": 25, "passedOver": {}}'::jsonb FROM made, generate_series(1, 6) number
        UNION ALL
        SELECT id, 'truck_request', CASE number WHEN 1 THEN slot_1 ELSE slot_2 END, CASE WHEN kind < 8 THEN 'expire' ELSE 'cancel' END,
               'searching', CASE WHEN kind < 8 THEN 'expired' ELSE 'cancelled' END, 3, at, command_id, 'x', '{}'::jsonb
          FROM made, generate_series(1, 2) number WHERE kind > 5 OR (kind = 5 AND number = 2)
        UNION ALL
        SELECT id, 'broadcast', id, CASE WHEN kind < 8 THEN 'expire' ELSE 'cancel' END, 'active', 'expired', 3, at, command_id, 'x',
               CASE WHEN kind < 8 THEN '{"reason": "nobody_accepted"}'::jsonb ELSE '{"reasonCode": "price"}' END
          FROM made WHERE kind > 4
        UNION ALL
        SELECT id, 'assignment', md5(id::text || number)::uuid, 'cancel', 'pending', 'cancelled', 3, at, command_id, 'x', '{}'::jsonb
          FROM made, generate_series(1, 2) number WHERE kind = 9;
    INSERT INTO mailbox (id, name, queue, payload, received_at, due_at, wake_at, settled_at, status, error)
        SELECT gen_random_uuid(), 'offers.accept', 'offers', jsonb_build_object('broadcast_id', id), at, at, at, at, 'rejected',
               '{"code": "BROADCAST_FILLED"}'
          FROM made WHERE kind = 0;
"""


@pytest.mark.alone
@pytest.mark.long
@pytest.mark.timeout(600)
def test_100_000_requests_are_answered_in_half_the_limit(world: World) -> None:
    now = datetime.now(UTC)
    [truck] = world.fleet().trucks
    with world.engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        # Foreign keys are not checked, which saves time: the inserted rows are consistent.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for days in (4, 1):
            values = {
                "start": now - timedelta(days=days),
                "requests": REQUESTS // days,
                "offers": OFFERS_EACH,
            }
            values |= {"driver": truck.driver_id, "vehicle": truck.vehicle_id}
            for statement in _ROWS.split(";\n"):
                if statement.strip():
                    connection.execute(text(statement), values)
            connection.execute(text("DROP TABLE made"))
    with world.engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("ANALYZE"))
    window = market.window(now - timedelta(days=1), now, None, now)
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        with Session(read_engine()) as session:
            total = market.figures(session, window, now).total
        seconds.append(time.monotonic() - began)
    assert (total.requests, total.offers) == (REQUESTS, REQUESTS * OFFERS_EACH)
    assert (total.slots_asked, total.slots_won) == (2 * REQUESTS, REQUESTS * 13 // 10)
    assert [(each.reason, each.slots) for each in total.slots_expired] == [("nobody_accepted", REQUESTS // 2)]
    assert sum(each.slots for each in total.cancels) == REQUESTS * 4 // 10
    assert [each.accepts for each in total.accepts_lost] == [REQUESTS // 10]
    assert min(seconds) < market.LIMIT_SECONDS / 2, seconds
