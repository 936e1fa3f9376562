"""The rows of an older database are upgraded: renamed columns keep their values, renamed commands their meaning."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, text

from tests.support.servers import MIGRATIONS, own_database, worker_number
from weelo_workers.contracts.command import REGISTRY
from weelo_workers.models.engine import connect
from weelo_workers.models.migrate import alembic_config

BEFORE_FIELD_TERMS, FIELD_TERMS = "0007", "0008"

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
    assert set(RENAMED.values()) <= set(REGISTRY)
