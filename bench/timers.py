"""The lateness of timers with a thousand of them pending."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import uuid4

from sqlalchemy import text

from bench.figures import Figure, milliseconds
from bench.http import closed_loop, request
from bench.run import Run
from tests.support.people import BOOKING, UNAVAILABLE_KIND
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role

CLIENTS = 8
"""At most this many requests wait for their outcomes at once. So a slow machine gets fewer requests per second, and
need not refuse any."""
PER_SECOND = 35
"""The highest rate at which requests are sent. Their timers become due at the same rate."""

EXPIRED = text(
    "SELECT EXTRACT(EPOCH FROM b.state_changed_at - b.expires_at) AS late, m.sweep_count > 0 AS swept FROM broadcasts b"
    " JOIN mailbox m ON m.name = 'broadcasts.expire' AND m.payload->>'broadcast_id' = b.id::text"
    " WHERE b.status = 'expired' AND b.created_at > :mark"
)
PENDING = text("SELECT count(*) FROM broadcasts WHERE status = 'active' AND created_at > :mark")


def thousand_pending(run: Run) -> list[Figure]:
    """Create a thousand broadcasts, so that their deadlines are pending at once, and measure how late they expire."""
    many = run.size(1_000, 20)
    with (
        run.database() as engine,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        mark = {"mark": connection.execute(text("SELECT clock_timestamp()")).scalar_one()}
        began, created = time.monotonic(), 0
        while created < many:  # a request that was answered with 503 is replaced by a new one
            statuses = [
                answer.status for answer in closed_loop(run.system.port, _requests(many - created), CLIENTS)
            ]
            assert set(statuses) <= {201, 503}, statuses
            created += statuses.count(201)
        took = time.monotonic() - began
        pending = connection.execute(PENDING, mark).scalar_one()
        eventually(lambda: len(connection.execute(EXPIRED, mark).all()) >= many, within=150, every=1)
        rows = connection.execute(EXPIRED, mark).all()
    late = [float(row.late) for row in rows]
    swept = sum(row.swept for row in rows)
    return [
        Figure(
            f"lateness of {many:,} timers",
            {**milliseconds(late, 0.5, 0.99), "earliest": min(late) * 1000},
            "ms",
            "never early, p99 250",
        ),
        Figure(
            "of these timers",
            {"pending at once": pending, "due per second": many / took, "fired by the sweep": swept},
        ),
    ]


def _requests(many: int) -> Iterator[bytes]:
    """Yield requests of different customers for a kind of truck that no fleet has, at most PER_SECOND in a second."""
    began = time.monotonic()
    body = {**BOOKING, **dict(zip(("vehicleType", "vehicleSubtype"), UNAVAILABLE_KIND, strict=True))}
    for number in range(many):
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        yield request("POST", "/bookings", Role.CUSTOMER, uuid4(), body, wait=30, key=True)
