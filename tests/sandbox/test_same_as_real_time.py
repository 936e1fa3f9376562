"""TRYI-01: moving the clock causes the same events as real time does, at the same times, in every log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from tests.sandbox.sandbox_system import Sandbox
from tests.support.servers import SHORT_SANDBOX, own_database, own_redis
from tests.support.waiting import eventually, slowdown
from weelo_workers.redis_client import connect

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.long]

# With these settings everything happens within 20 s of real time. Events whose order matters are at least 0.8 s apart:
# rings at 0, 3 and 6 s, accepts at 1, 4 and 7.6 s, drivers' answers at 5, 9.2 and 13 s, a truck given back at 10.8 s,
# the reminder to set out at 15 s, and at 19 s the truck that has not set out is given back.
SHORT = {
    "BROADCAST_TIMEOUT_SECONDS": "16",
    "RADIUS_STEP_SECONDS": "3",
    "DRIVER_ACCEPT_SECONDS": "12",
    "START_REMINDER_SECONDS": "10",
    "START_LIMIT_SECONDS": "14",
    "REOFFER_SECONDS": "7",
    "REOFFER_ROUNDS": "1",
}
LASTS_SECONDS = 24.0


@pytest.fixture(scope="module")
def short_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    redis_url = own_redis(SHORT_SANDBOX)
    connect(redis_url).flushdb()
    running = Sandbox(
        tmp_path_factory.mktemp("short") / "data",
        DATABASE_URL=own_database(SHORT_SANDBOX),
        REDIS_URL=redis_url,
        **SHORT,
    )
    yield running
    running.stop()


Line = tuple[str, str | None, float]


def begin(sandbox: Sandbox) -> dict[str, UUID]:
    """Start the scenario, and return its users by name.

    The nearest fleet wins a slot, but its driver does not answer. A fleet in the second ring wins a slot, but its truck
    never sets out. A fleet in the third ring wins a slot and gives it back.
    """
    fleets = {
        "silent driver": sandbox.fleet("accepts_driver_silent", after=1),
        "declines": sandbox.fleet("declines", after=2, km_north=2),
        "never sets out": sandbox.fleet("accepts", after=1, km_north=20),
        "gives back": sandbox.fleet("gives_back", after=1.6, km_north=40),
    }
    broadcast_id = sandbox.book(sandbox.customer(), trucks=3)
    drivers = {
        f"driver of {name}": sandbox.rows("SELECT id FROM drivers WHERE transporter_id = :id", id=fleet)[0][
            "id"
        ]
        for name, fleet in fleets.items()
    }
    return {"customer": sandbox.customer_of(broadcast_id), **fleets, **drivers}


def logs(sandbox: Sandbox, users: dict[str, UUID]) -> dict[str, list[Line]]:
    """Return the log of each user. Each line has its time in seconds after the request."""
    [[began]] = [
        list(row.values())
        for row in sandbox.rows(
            "SELECT created_at FROM broadcasts WHERE customer_id = :id", id=users["customer"]
        )
    ]
    return {name: lines(sandbox, user_id, began) for name, user_id in users.items()}


def lines(sandbox: Sandbox, user_id: UUID, began: Any) -> list[Line]:
    rows = sandbox.rows(
        """SELECT e.event, COALESCE(e.data->'assignment'->>'status', e.data->>'status') AS status,
                  EXTRACT(EPOCH FROM e.at - :began)::float AS at
             FROM log_lines l JOIN events e ON e.id = l.event_id
            WHERE l.user_id = :user_id AND e.at >= :began AND e.event <> 'command_settled' ORDER BY l.seq""",
        user_id=user_id,
        began=began,
    )
    return [(row["event"], row["status"], row["at"]) for row in rows]


def test_TRYI_01_an_advance_causes_the_events_of_real_time_at_the_same_times(short_sandbox: Sandbox) -> None:
    users = begin(short_sandbox)
    until = time.monotonic() + LASTS_SECONDS
    eventually(lambda: time.monotonic() > until, within=LASTS_SECONDS + 5, every=0.5)
    real = logs(short_sandbox, users)

    short_sandbox.reset()
    users = begin(short_sandbox)
    short_sandbox.advance(LASTS_SECONDS)
    moved = logs(short_sandbox, users)

    def without_times(log: dict[str, list[Line]]) -> dict[str, list[tuple[str, str | None]]]:
        return {name: [(event, status) for event, status, _ in lines] for name, lines in log.items()}

    assert without_times(moved) == without_times(real)
    happened = {(event, status) for lines in real.values() for event, status, _ in lines}
    assert {
        ("driver_timeout", "driver_declined"),
        ("truck_lost", "given_back"),
        ("pickup_reminder", "driver_accepted"),
    } <= happened
    differences = [
        abs(first[2] - second[2])
        for name in real
        for first, second in zip(real[name], moved[name], strict=True)
    ]
    assert max(differences) < 1 * slowdown()
