"""PostgreSQL responds with errors: its disk is full, it is a standby, or it has no memory or connections left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.support.disks import SmallDisk
from tests.support.people import BOOKING
from tests.support.tokens import token
from tests.support.world import World
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import autocommit_engine, drop_inherited_connections

OUTAGES = {
    "53100": "disk full",
    "53200": "out of memory",
    "53300": "too many connections",
    "58030": "disk error",
    "57P03": "starting up",
    "55P03": "lock not available",
    "57014": "statement timeout",
    "25006": "a standby",
}
MOVED = ("mailbox", "broadcasts")
FAULTS = {
    "54000": "a limit of PostgreSQL exceeded",
    "54001": "statement nested too deeply",
    "XX001": "corrupted data",
    "P0001": "a bug",
}


def refuse_rows(world: World, state: str, *tables: str) -> None:
    with world.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$"
                f" BEGIN RAISE 'no room' USING ERRCODE = '{state}'; END $$"
            )
        )
        for table in tables:
            connection.execute(
                text(f"CREATE TRIGGER no_room BEFORE INSERT ON {table} EXECUTE FUNCTION no_room()")
            )


@pytest.fixture
def world(world: World) -> Iterator[World]:
    yield world
    with world.engine.begin() as connection:
        connection.execute(text("DROP FUNCTION IF EXISTS no_room CASCADE"))


def ask() -> Any:
    from weelo_api import create_app

    bearer = {"Authorization": f"Bearer {token(Role.CUSTOMER, uuid4())}"}
    return create_app().test_client().post("/api/v1/bookings", json=BOOKING, headers=bearer)


@pytest.mark.parametrize("state", OUTAGES)
def test_a_command_that_the_database_cannot_record_for_now_is_refused_with_503(
    world: World, state: str
) -> None:
    refuse_rows(world, state, "mailbox")
    answer = ask()
    assert answer.status_code == 503, answer.json
    assert answer.json["code"] == "SERVICE_UNAVAILABLE" and answer.headers["Retry-After"]
    assert world.value("SELECT count(*) FROM mailbox") == 0


@pytest.mark.parametrize("state", OUTAGES)
def test_a_command_waits_while_the_database_lacks_something_and_is_never_parked_for_it(
    world: World, state: str
) -> None:
    customer = uuid4()
    refuse_rows(world, state, "broadcasts")
    command = world.post(world.booking(customer), customer, Role.CUSTOMER)
    for redelivered in (False, True) * 4:
        world.bus.execute(command, redelivered=redelivered)
    row = world.rows("SELECT attempts, crashes, retry_at FROM mailbox WHERE id = :id", id=command)[0]
    assert tuple(row) == (0, 0, None)
    with world.engine.begin() as connection:
        connection.execute(text("DROP FUNCTION no_room CASCADE"))
    world.bus.execute(command)
    assert world.outcome(command, customer).status == "succeeded"


@pytest.mark.parametrize("state", FAULTS)
def test_an_error_that_waiting_does_not_cure_is_a_failure(world: World, state: str) -> None:
    """An error that is not temporary must count as a failed attempt. Otherwise the command would be retried for ever."""
    customer = uuid4()
    command = world.post(world.booking(customer), customer, Role.CUSTOMER)
    refuse_rows(world, state, "mailbox", "broadcasts")
    world.bus.execute(command)
    assert world.value("SELECT attempts FROM mailbox WHERE id = :id", id=command) == 1
    assert ask().status_code == 500


def test_after_a_failover_connections_to_the_new_standby_are_dropped(world: World) -> None:
    """Connections to the old primary, which is now a standby, still work for reading.

    At the first refused write they are dropped, so that new ones are made to the new primary.
    """
    drop_inherited_connections()
    with autocommit_engine().connect() as connection:
        connection.execute(text("SET default_transaction_read_only = on"))
    assert ask().status_code == 503
    assert ask().status_code == 202


@pytest.fixture
def leftovers(world: World) -> None:
    """Make the mailbox's files larger than the small disk, as earlier tests may do. `small_disk` must still work."""
    customer = uuid4()
    world.post(world.booking(customer), customer, Role.CUSTOMER)
    columns = "name, queue, payload, due_at, wake_at"
    many = f"INSERT INTO mailbox (id, {columns}) SELECT gen_random_uuid(), {columns} FROM mailbox, generate_series(1, 15000)"
    with world.engine.begin() as connection:
        connection.execute(text(many))
    world.empty()


@pytest.fixture
def small_disk(world: World, leftovers: None) -> Iterator[SmallDisk]:
    """Empty the tables in MOVED, move them into a tablespace on a small disk, and yield the disk."""
    home = Path(world.value("SHOW data_directory"))
    if os.geteuid() != 0 or not home.exists():
        pytest.skip("needs root, on PostgreSQL's own machine, to mount a disk")
    alone = world.engine.execution_options(isolation_level="AUTOCOMMIT")
    # Tablespaces belong to the whole server, which may still have one of an earlier run. So the name contains our pid.
    tablespace = f"small_{os.getpid()}"
    with ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="weelo-small-"))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o711)
        disk = SmallDisk(folder / "disk", megabytes=4)
        undo.callback(disk.remove)
        if disk.why_not:
            pytest.skip(disk.why_not)
        shutil.chown(disk.at, home.stat().st_uid)
        connection = undo.enter_context(alone.connect())
        connection.execute(text(f"CREATE TABLESPACE {tablespace} LOCATION '{disk.at}'"))
        undo.callback(connection.execute, text(f"DROP TABLESPACE {tablespace}"))
        # TRUNCATE gives the tables new, empty files. The old files contain deleted rows of earlier tests. Such files may be
        # too large for the small disk, or may have so much reusable space that the disk would not fill.
        connection.execute(text(f"TRUNCATE {', '.join(MOVED)} CASCADE"))
        for table in MOVED:
            connection.execute(text(f"ALTER TABLE {table} SET TABLESPACE {tablespace}"))
            undo.callback(connection.execute, text(f"ALTER TABLE {table} SET TABLESPACE pg_default"))
        yield disk


def test_while_the_disk_of_the_database_is_full_nothing_is_accepted_and_nothing_given_up(
    world: World, small_disk: SmallDisk
) -> None:
    customer = uuid4()
    waits = world.post(world.booking(customer), customer, Role.CUSTOMER)
    with small_disk.full():
        for _ in range(100):
            answer = ask()
            if answer.status_code != 202:
                break
        assert (answer.status_code, answer.json["code"]) == (503, "SERVICE_UNAVAILABLE")
        for _ in range(6):
            world.bus.execute(waits, redelivered=True)
    assert world.outcome(waits, customer).status == "pending"
    assert world.value("SELECT attempts FROM mailbox WHERE id = :id", id=waits) == 0
    assert ask().status_code == 202
    world.bus.execute(waits, redelivered=True)
    assert world.outcome(waits, customer).status == "succeeded"
