"""The lateness of timers with a thousand of them pending."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text

from bench.figures import Figure, milliseconds
from tests.support.people import BOOKING
from tests.support.system import System
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres

PENDING = 1_000
PER_SECOND = 35
"""Requests are sent at this rate, so that about as many timers are due per second."""


def thousand_pending(system: System, data: Path) -> list[Figure]:
    """Measure how late a thousand broadcasts expire whose deadlines are pending at the same time."""
    engine = connect(Postgres(data).url("weelo"))
    with engine.connect() as connection:
        mark = connection.execute(text("SELECT clock_timestamp()")).scalar_one()

    def ask(number: int) -> None:
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        with system.http(Role.CUSTOMER, uuid4()) as asks:
            body = {**BOOKING, "vehicleType": "bulker", "vehicleSubtype": "32 Ton"}
            assert asks.post("/bookings", json=body, headers={"Prefer": ""}).status_code == 202

    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(PENDING)))

    query = text(
        "SELECT EXTRACT(EPOCH FROM b.state_changed_at - b.expires_at) AS late, m.sweep_count > 0 AS swept FROM broadcasts b"
        " JOIN mailbox m ON m.name = 'broadcasts.expire' AND m.payload->>'broadcast_id' = b.id::text"
        " WHERE b.status = 'expired' AND b.created_at > :mark"
    )
    with engine.connect() as connection:
        pending = connection.execute(
            text("SELECT count(*) FROM broadcasts WHERE status = 'active'")
        ).scalar_one()

    def expired() -> bool:
        with engine.connect() as connection:
            return len(connection.execute(query, {"mark": mark}).all()) >= PENDING

    eventually(expired, within=120, every=1)
    with engine.connect() as connection:
        rows = connection.execute(query, {"mark": mark}).all()
    engine.dispose()
    late = [float(row.late) for row in rows]
    return [
        Figure(
            f"timers late, {pending} pending at once, {PER_SECOND} due a second",
            f"{milliseconds(late, 0.5, 0.99)}; earliest {min(late) * 1000:.1f} ms; {sum(row.swept for row in rows)} by the sweep",
            "never early, p99 250 ms",
        )
    ]
