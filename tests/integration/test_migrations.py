"""The rows of an older database are upgraded: renamed columns keep their values, renamed commands their meaning."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, text

from tests.support.servers import MIGRATIONS, own_database, worker_number
from weelo_workers.app import load_handlers
from weelo_workers.contracts.command import REGISTRY, load
from weelo_workers.contracts.trips import Watchdog
from weelo_workers.models.engine import connect
from weelo_workers.models.migrate import alembic_config

BEFORE_FIELD_TERMS, FIELD_TERMS = "0007", "0008"
BEFORE_WAYS_OUT, WAYS_OUT = "0009", "0010"

# The names of commands in old rows, each with its present name.
RENAMED = {
    "offers.drop_hold": "offers.release_hold",
    "offers.release_hold": "offers.expire_hold",
    "fleet.sign_on": "fleet.sync_presence",
    "offers.accept": "offers.accept",
}


@pytest.fixture
def old(worker_id: str) -> Iterator[Engine]:
    """Yield a database with the schema from before the columns of the mailbox were renamed."""
    number = MIGRATIONS + worker_number(worker_id)
    engine = connect(own_database(number))
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), BEFORE_FIELD_TERMS)
    yield engine
    engine.dispose()


def write(connection: Connection, name: str) -> None:
    connection.execute(
        text("""
            INSERT INTO mailbox (id, name, queue, payload, due_at, ring_at, sweeps, losses, trouble)
            VALUES (:id, :name, 'fleet', '{}', now(), now() + interval '1 hour', 2, 3, :name)
        """),
        {"id": uuid4(), "name": name},
    )


def test_rows_of_an_older_database_keep_their_values_and_their_commands(old: Engine) -> None:
    with old.begin() as connection:
        for name in RENAMED:
            write(connection, name)
        command.upgrade(alembic_config(connection), FIELD_TERMS)
        rows = connection.execute(
            text("SELECT name, last_error, crashes, sweep_count, wake_at > due_at AS later FROM mailbox")
        ).all()
    assert {row.last_error: row.name for row in rows} == RENAMED
    assert {(row.crashes, row.sweep_count, row.later) for row in rows} == {(3, 2, True)}


def test_the_upgrade_can_be_undone(old: Engine) -> None:
    with old.begin() as connection:
        for name in RENAMED:
            write(connection, name)
        command.upgrade(alembic_config(connection), FIELD_TERMS)
        command.downgrade(alembic_config(connection), BEFORE_FIELD_TERMS)
        rows = connection.execute(text("SELECT name, trouble FROM mailbox")).all()
    assert all(row.name == row.trouble for row in rows)


def test_the_new_names_are_those_of_commands() -> None:
    load_handlers()
    assert set(RENAMED.values()) <= set(REGISTRY)


ONE_BROADCAST = """
    INSERT INTO broadcasts (id, kind, customer_id, status, state_changed_at, version, pickup, drop, trucks_needed,
                            request, keyed, expires_at, created_at)
    VALUES (:broadcast, 'booking', :broadcast, 'active', now(), 1, '{}', '{}', 1, '{}', false, now(), now());
    INSERT INTO truck_requests (id, broadcast_id, request_number, vehicle_type, vehicle_subtype, vehicle_key, status,
                                state_changed_at)
    VALUES (:broadcast, :broadcast, 1, 'open', '17 Feet', 'open|17 Feet', 'searching', now());
    INSERT INTO passed_over (broadcast_id, transporter_id, step, reason, at)
    VALUES (:broadcast, :broadcast, 2, 'offline', now());
"""
ONE_REQUEST = """
    INSERT INTO broadcasts (id, kind, customer_id, status, state_changed_at, version, pickup, drop, trucks_needed,
                            request, keyed, expires_at, created_at)
    VALUES (:broadcast, 'booking', :broadcast, :status, now(), 1, '{}', '{}', 2, '{}', false, now(), now());
    INSERT INTO transitions (broadcast_id, subject, subject_id, name, to_status, version, at, command_id, cause)
    VALUES (:broadcast, 'broadcast', :broadcast, 'take_some', 'partially_filled', 1, now(), :broadcast, 'offers.accept');
"""
ONE_ASSIGNMENT = """
    INSERT INTO vehicles (id, transporter_id, vehicle_number, plate, vehicle_type, vehicle_subtype, vehicle_key, created_at)
    VALUES (:id, :id, :id, :id, 'open', '17 Feet', 'open|17 Feet', now());
    INSERT INTO drivers (id, transporter_id, name, phone, is_available, created_at)
    VALUES (:id, :id, 'A driver', '1', true, now());
    INSERT INTO assignments (id, trip_id, broadcast_id, truck_request_id, transporter_id, driver_id, vehicle_id,
                             vehicle_number, status, reason, created_at, state_changed_at)
    VALUES (:id, :id, :broadcast, :broadcast, :id, :id, :id, 'HR55X000001', :status, :reason, now(), now());
    INSERT INTO offers (broadcast_id, transporter_id, step, version, offered_at, declined_at, decline_reason)
    VALUES (:broadcast, :id, 1, 1, now(), now(), :decline_reason);
    INSERT INTO transitions (broadcast_id, subject, subject_id, name, to_status, version, at, command_id, cause)
    VALUES (:broadcast, 'assignment', :id, 'decline', :status, 1, now(), :id, :cause);
"""


def test_the_reasons_of_older_rows_become_codes_and_notes(old: Engine) -> None:
    broadcast, by_system, by_driver, cancelled = (uuid4() for _ in range(4))
    rows = (
        (by_system, "driver_declined", "timeout", "trips.expire_assignment", "driver_refused"),
        (by_driver, "driver_declined", "timeout", "trips.driver_decline", "Too far"),
        (cancelled, "cancelled", "customer_cancelled", "broadcasts.cancel", None),
    )
    with old.begin() as connection:
        command.upgrade(alembic_config(connection), BEFORE_WAYS_OUT)
        connection.execute(text(ONE_BROADCAST), {"broadcast": broadcast})
        for id_, status, reason, cause, declined in rows:
            given = {"status": status, "reason": reason, "cause": cause, "decline_reason": declined}
            connection.execute(text(ONE_ASSIGNMENT), {"broadcast": broadcast, "id": id_, **given})
        command.upgrade(alembic_config(connection), WAYS_OUT)
        assignments = {
            row.id: (row.reason_code, row.note)
            for row in connection.execute(text("SELECT id, reason_code, note FROM assignments"))
        }
        notes = set(connection.execute(text("SELECT decline_note FROM offers")).scalars())
        steps = connection.execute(text("SELECT round, step FROM passed_over")).all()
    assert assignments == {
        by_system: ("driver_timeout", None),
        by_driver: (None, "timeout"),
        cancelled: (None, None),
    }
    assert (notes, steps) == ({None, "Too far"}, [(0, 2)])


def test_after_a_downgrade_the_earlier_version_reads_the_new_states(old: Engine) -> None:
    broadcast, lost = uuid4(), uuid4()
    with old.begin() as connection:
        command.upgrade(alembic_config(connection), BEFORE_WAYS_OUT)
        connection.execute(text(ONE_BROADCAST), {"broadcast": broadcast})
        given = {"status": "pending", "reason": None, "cause": "offers.accept", "decline_reason": None}
        connection.execute(text(ONE_ASSIGNMENT), {"broadcast": broadcast, "id": lost, **given})
        command.upgrade(alembic_config(connection), WAYS_OUT)
        connection.execute(
            text("UPDATE assignments SET status = 'given_back', reason_code = 'driver_timeout'")
        )
        command.downgrade(alembic_config(connection), BEFORE_WAYS_OUT)
        [row] = connection.execute(text("SELECT status, reason FROM assignments")).all()
    assert tuple(row) == ("driver_declined", "timeout")


def test_finished_broadcasts_are_not_rewritten_while_all_commands_wait(old: Engine) -> None:
    times = {}
    for status in ("completed", "partially_filled"):
        broadcast = uuid4()
        with old.begin() as connection:
            command.upgrade(alembic_config(connection), "0013")
            connection.execute(text(ONE_REQUEST), {"broadcast": broadcast, "status": status})
        times[status] = broadcast
    with old.begin() as connection:
        command.upgrade(alembic_config(connection), "0014")
        read = text("SELECT first_won_at IS NOT NULL, filled_at IS NOT NULL FROM broadcasts WHERE id = :id")
        found = {status: tuple(connection.execute(read, {"id": id_}).one()) for status, id_ in times.items()}
    assert found == {"completed": (False, False), "partially_filled": (True, False)}


def test_trucks_that_are_on_their_way_before_the_upgrade_are_watched_after_it(old: Engine) -> None:
    broadcast = uuid4()
    watched = {
        "driver_accepted": uuid4(),
        "en_route_pickup": uuid4(),
        "at_pickup": uuid4(),
        "pending": uuid4(),
    }
    with old.begin() as connection:
        command.upgrade(alembic_config(connection), BEFORE_WAYS_OUT)
        connection.execute(text(ONE_BROADCAST), {"broadcast": broadcast})
        connection.execute(text("DROP INDEX one_live_assignment_per_slot"))
        for status, id_ in watched.items():
            given = {"status": status, "reason": None, "cause": "offers.accept", "decline_reason": None}
            connection.execute(text(ONE_ASSIGNMENT), {"broadcast": broadcast, "id": id_, **given})
        command.upgrade(alembic_config(connection), WAYS_OUT)
        rows = connection.execute(text("SELECT name, payload, due_at > now() AS later FROM mailbox")).all()
        since = set(connection.execute(text("SELECT state_changed_at FROM assignments")).scalars())
    load_handlers()
    timers = {load(row.name, row.payload) for row in rows}
    assert {(timer.name, timer.assignment_id) for timer in timers if isinstance(timer, Watchdog)} == {
        ("trips.remind_to_start", watched["driver_accepted"]),
        ("trips.report_stalled", watched["en_route_pickup"]),
        ("trips.report_stalled", watched["at_pickup"]),
    }
    assert {timer.since for timer in timers if isinstance(timer, Watchdog)} == since
    assert all(row.later for row in rows)
