"""A rolling deploy: an older version runs, and rows that a newer one has written are in its database."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.support.fcm_server import FcmServer
from tests.support.people import Listener, Truck
from tests.support.servers import VERSIONS, own_database, own_redis
from tests.support.system import System, SystemWithOneWorker, doctor
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect
from weelo_workers.runtime import programs
from weelo_workers.runtime.programs import Options

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("versions")]

Rows = Callable[..., list[Any]]
"""Runs a statement in a transaction of its own, and returns the rows, if any."""

NEWER = Path(__file__).parent / "newer"
NEW_COMMANDS = {"fleet.wash": "fleet", "payments.charge": "payments"}

WRITE = """
    INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at)
    VALUES (:id, :name, :queue, CAST(:payload AS jsonb), clock_timestamp(), clock_timestamp())
"""
WRITE_EVENT = """
    WITH head AS (
      INSERT INTO log_heads AS head VALUES (:user, 1) ON CONFLICT (user_id) DO UPDATE SET seq = head.seq + 1 RETURNING seq
    ), event AS (
      INSERT INTO events (id, event, at, data) VALUES (:id, 'truck_washed', clock_timestamp(), '{"shine": 7}')
      RETURNING id
    )
    INSERT INTO log_lines (user_id, seq, event_id) SELECT :user, head.seq, event.id FROM head, event RETURNING seq
"""


@pytest.fixture(scope="module")
def fcm() -> Iterator[FcmServer]:
    server = FcmServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def database() -> str:
    return own_database(VERSIONS)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory, database: str, fcm: FcmServer) -> Iterator[System]:
    running = SystemWithOneWorker(
        tmp_path_factory.mktemp("older") / "data",
        DATABASE_URL=database,
        REDIS_URL=own_redis(VERSIONS),
        FCM_ENDPOINT=fcm.url,
    )
    yield running
    running.stop()


@pytest.fixture(scope="module")
def rows(database: str) -> Iterator[Rows]:
    engine = connect(database)

    def run(query: str, **parameters: Any) -> list[Any]:
        with engine.begin() as connection:
            result = connection.execute(text(query), parameters)
            return list(result.all()) if result.returns_rows else []

    yield run
    engine.dispose()


def write(rows: Rows, name: str, queue: str, payload: object) -> UUID:
    command_id = uuid4()
    rows(WRITE, id=command_id, name=name, queue=queue, payload=json.dumps(payload))
    return command_id


def begin_newer_worker(system: System, folder: Path) -> subprocess.Popen[bytes]:
    worker = programs.workers(Options(folder))[0]
    queues = next(word for word in worker.argv if word.startswith("--queues="))
    argv = [
        {queues: f"{queues},payments"}.get(word, word.replace("--hostname=", "--hostname=newer-"))
        for word in worker.argv
    ]
    environment = programs.env_for_role(programs.environment(system.environment), programs.WORKERS_ROLE)
    return subprocess.Popen(argv, env={**environment, "PYTHONPATH": str(NEWER)})


def test_new_commands_wait_without_failing_and_are_executed_once_by_a_newer_worker(
    older: System, rows: Rows, tmp_path: Path
) -> None:
    for name in NEW_COMMANDS:
        sequence = name.replace(".", "_")
        rows(f"CREATE SEQUENCE {sequence}; GRANT USAGE ON SEQUENCE {sequence} TO PUBLIC")
    ids = [write(rows, name, queue, {}) for name, queue in NEW_COMMANDS.items()]
    state = "SELECT attempts, crashes, parked_at, settled_at, sweep_count FROM mailbox WHERE id = ANY(CAST(:ids AS uuid[]))"

    def swept() -> bool:
        """Return whether beat has swept both rows four times. By then, beat would have executed a command that it knows."""
        return all(row.sweep_count >= 4 for row in rows(state, ids=ids))

    eventually(swept, within=40)
    for row in rows(state, ids=ids):
        assert (row.attempts, row.crashes, row.parked_at, row.settled_at) == (0, 0, None, None)
    assert any("does not know this command" in line for line in doctor(older))

    newer = begin_newer_worker(older, tmp_path)
    try:
        # Beat still has the older version, so it can only send wake-ups.
        eventually(lambda: all(row.settled_at for row in rows(state, ids=ids)), within=60)
    finally:
        newer.terminate()
        newer.wait(20)
    for name in NEW_COMMANDS:
        assert rows(f"SELECT last_value, is_called FROM {name.replace('.', '_')}")[0] == (1, True)
    eventually(lambda: doctor(older) == [], within=30)


def test_a_command_with_a_new_field_or_without_an_optional_one_is_executed(older: System, rows: Rows) -> None:
    transporter = uuid4()
    older.client(Role.TRANSPORTER, transporter).set_availability(True)
    payload = {"transporter_id": str(transporter), "is_available": False, "until": "2030-01-01T00:00:00Z"}
    command = write(rows, "fleet.set_availability", "fleet", payload)
    settled = "SELECT status, attempts FROM mailbox WHERE id = :id AND settled_at IS NOT NULL"
    eventually(lambda: [tuple(row) for row in rows(settled, id=command)] == [("succeeded", 0)])
    [row] = rows("SELECT is_available FROM transporters WHERE id = :id", id=transporter)
    assert row.is_available is False


@pytest.mark.undocumented
def test_a_new_event_is_delivered_by_an_older_api_and_pushed_by_an_older_notifier(
    older: System, rows: Rows, fcm: FcmServer
) -> None:
    truck = Truck(older)
    phone = Listener(truck.client)
    event = uuid4()
    rows(WRITE_EVENT, user=truck.id, id=event)
    assert phone.until("truck_washed").data == {"shine": 7}
    phone.close()
    assert truck.client.events(limit=500)[-1]["event"] == "truck_washed"

    # This user's app is closed, so no socket acknowledges the event, and the notifier has to push it.
    asleep = older.client(Role.TRANSPORTER, sleeper := uuid4())
    asleep.register_device("a-phone-of-a-fleet", "android")
    push = {
        "event_id": str(event),
        "event": "truck_washed",
        "data": {"broadcastId": str(uuid4())},
        "ends_at": "2099-01-01T00:00:00Z",
        "to": {str(sleeper): 7},
    }
    command = write(rows, "notifications.push", "notifications", push)
    eventually(lambda: [each for each in fcm.received if each["data"]["type"] == "truck_washed"], within=20)
    [row] = rows("SELECT attempts, parked_at FROM mailbox WHERE id = :id", id=command)
    assert (row.attempts, row.parked_at) == (0, None)
    truck.available(False)
