"""The operator's lists stay fast with thousands of open broadcasts."""

from __future__ import annotations

import statistics
import time
from typing import Any

from tests.admin.operator import Operator
from tests.support.world import World

OPEN = 5_000
SECONDS = 0.3
"""The limit on the median. Other tests run at the same time, so single responses take longer than the server needs."""

MANY = f"""
    INSERT INTO users (id, role, name, phone, created_at)
    SELECT md5('customer' || n)::uuid, 'customer', 'Customer ' || n, '+91 98' || lpad(n::text, 8, '0'), now()
      FROM generate_series(1, {OPEN}) n;
    INSERT INTO broadcasts (id, kind, customer_id, status, state_changed_at, version, pickup, drop, trucks_needed,
                            request, keyed, radius_step, radius_km, expires_at, created_at)
    SELECT md5('broadcast' || n)::uuid, 'booking', md5('customer' || n)::uuid, 'active', now(), 4, p, p, 1, '{{}}', false,
           1, 10, now() + interval '1 hour', now() - n * interval '10 ms'
      FROM generate_series(1, {OPEN}) n,
           LATERAL (SELECT jsonb_build_object('latitude', 28.6, 'longitude', 77.2, 'address', 'Street ' || n) AS p) place;
    INSERT INTO truck_requests (id, broadcast_id, request_number, vehicle_type, vehicle_subtype, vehicle_key, status,
                                state_changed_at)
    SELECT md5('slot' || n)::uuid, md5('broadcast' || n)::uuid, 1, 'Open', '17 Feet', 'open|17 feet', 'searching', now()
      FROM generate_series(1, {OPEN}) n;
    INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at)
    SELECT md5(name || n)::uuid, name, 'timers', jsonb_build_object('broadcast_id', md5('broadcast' || n)::uuid),
           now() + interval '1 hour', now() + interval '1 hour'
      FROM generate_series(1, {OPEN}) n, (VALUES ('broadcasts.expire'), ('broadcasts.widen')) AS timers (name);
    ANALYZE users; ANALYZE broadcasts; ANALYZE truck_requests; ANALYZE mailbox
"""


def test_lists_of_five_thousand_open_broadcasts_take_less_than_300_ms(
    world: World, operator: Operator
) -> None:
    with world.engine.begin() as connection:
        connection.exec_driver_sql(MANY)
    queries: list[tuple[str, dict[str, Any], int]] = [
        ("/broadcasts", {"limit": 100}, 100),
        ("/broadcasts", {"status": "open", "limit": 100}, 100),
        ("/broadcasts", {"status": "cancelled"}, 0),
        ("/broadcasts", {"q": "street 4711"}, 1),
        ("/broadcasts", {"q": "9800001234"}, 1),
        ("/broadcasts", {"vehicleType": "open"}, 20),
        ("/stuck", {}, 0),
    ]
    for path, query, expected in queries:
        # The first response is not measured. When it is checked, the check loads the API's schema, which takes time.
        operator.items(path, **query)
        seconds = []
        for _ in range(5):
            begun = time.perf_counter()
            items = operator.items(path, **query)
            seconds.append(time.perf_counter() - begun)
            # Entries for queues without workers and for failing checks are left out, because neither workers nor beat
            # run in this test.
            items = [
                each for each in items if each.get("because") not in ("queue_without_worker", "failing_check")
            ]
            assert len(items) == expected, (path, query)
        assert statistics.median(seconds) < SECONDS, (path, query, sorted(seconds))
