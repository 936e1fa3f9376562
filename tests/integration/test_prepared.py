"""Marked statements are prepared once per connection, but not behind a pooler, where connections share sessions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tests.support.pooler import RefusingProxy
from tests.support.waiting import eventually
from tests.support.world import World
from weelo_workers.contracts.fleet import SetAvailability
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging.bus import Bus
from weelo_workers.models import prepared
from weelo_workers.models.engine import connect, is_disconnect
from weelo_workers.settings import settings


@pytest.fixture
def engine(migrated: None) -> Iterator[Engine]:
    """Return an engine that keeps one connection."""
    made = connect(settings().database_url, pool_size=1, max_overflow=0)
    yield made
    made.dispose()


def twice(connection: Connection, name: str = "twice") -> int:
    """Execute a marked statement with a repeated parameter and a percent sign."""
    statement = text("SELECT CAST(:n AS int) + CAST(:n AS int) WHERE 'a%b' LIKE 'a%%'").execution_options(
        **prepared.prepared(name)
    )
    return int(connection.execute(statement, {"n": 4}).scalar_one())


def names(connection: Connection) -> list[str]:
    """Return the names of the session's prepared statements, without the hashes in them, in the order of preparation."""
    query = "SELECT name FROM pg_prepared_statements ORDER BY prepare_time, name"
    return [name.rpartition("_")[0] for (name,) in connection.exec_driver_sql(query)]


def test_a_marked_statement_is_prepared_once(engine: Engine) -> None:
    with engine.connect() as connection:
        assert [twice(connection) for _ in range(3)] == [8, 8, 8]
        assert names(connection) == ["twice"]
        connection.rollback()
        assert twice(connection) == 8, "a prepared statement outlives the transaction"
        assert names(connection) == ["twice"]


def test_a_connection_keeps_a_limited_number(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "MOST", 2)
    with engine.connect() as connection:
        for name in ("one", "two", "one", "three"):
            twice(connection, name)
        assert names(connection) == ["one", "three"], (
            "the one that was not used for the longest time is dropped"
        )


@pytest.mark.parametrize("ignored", [frozenset(), frozenset({"options"})], ids=["refuses", "leaves out"])
def test_nothing_is_prepared_behind_a_pooler(migrated: None, ignored: frozenset[str]) -> None:
    with RefusingProxy(settings().database_url, ignored) as pooler:
        made = connect(pooler.url)
        with made.connect() as connection:
            assert twice(connection) == 8
            assert names(connection) == []
        made.dispose()


def test_in_a_failed_transaction_no_statement_is_forgotten(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "MOST", 1)
    with engine.connect() as connection:
        twice(connection, "one")
        with pytest.raises(DBAPIError):
            connection.exec_driver_sql("SELECT 1 / 0")
        with pytest.raises(DBAPIError):
            twice(connection, "two")
        connection.rollback()
        assert twice(connection, "one") == 8
        assert names(connection) == ["one"]


def test_a_statement_that_was_prepared_and_not_recorded_invalidates_the_connection(engine: Engine) -> None:
    with engine.connect() as connection:
        twice(connection)
        # This simulates a process that was interrupted after it prepared the statement and before it recorded the
        # preparation.
        connection.info["prepared statements"].clear()
        with pytest.raises(DBAPIError) as refused:
            twice(connection)
    assert is_disconnect(refused.value), "so the bus and the API repeat the transaction on another connection"
    with engine.connect() as connection:
        assert twice(connection) == 8


def test_a_table_that_grows_quickly_gets_another_plan(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = text("SELECT n FROM grows WHERE n = :n").execution_options(**prepared.prepared("read_grows"))

    def plan(connection: Connection) -> str:
        connection.execute(read, {"n": 1})
        query = "SELECT name FROM pg_prepared_statements WHERE name LIKE 'read_grows%%'"
        [(name,)] = connection.exec_driver_sql(query)
        return "\n".join(line for (line,) in connection.exec_driver_sql(f"EXPLAIN EXECUTE {name} (1)"))

    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE grows (n int PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO grows VALUES (1)")
        connection.exec_driver_sql("ANALYZE grows")
        assert "Seq Scan" in plan(connection)
        connection.exec_driver_sql("INSERT INTO grows SELECT generate_series(2, 20000)")
        assert "Seq Scan" in plan(connection), "PostgreSQL keeps the plan"
        monkeypatch.setattr(prepared, "KEPT_SECONDS", 0.0)
        assert "Index" in plan(connection)


def test_a_command_is_executed_although_its_statements_were_lost(world: World, engine: Engine) -> None:
    """A pooler that passes on all parameters is not recognised. It may move the connection to another session."""
    bus, user_id = Bus(engine, world.bus.waker), uuid4()
    for wanted in (True, False):
        command = SetAvailability(transporter_id=user_id, is_available=wanted)
        command_id = world.post(command, user_id, Role.TRANSPORTER)
        bus.execute(command_id)
        assert world.outcome(command_id, user_id).status == "succeeded"
        with engine.connect() as connection:
            assert ("claim" in names(connection)) is wanted, "after the loss nothing is prepared any more"
            connection.exec_driver_sql("DEALLOCATE ALL")
            connection.commit()


def test_a_changed_column_invalidates_the_connection(engine: Engine) -> None:
    read = text("SELECT * FROM changed").execution_options(**prepared.prepared("read_changed"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE changed AS SELECT 1 AS n")
    with engine.connect() as connection:
        connection.execute(read)
        connection.exec_driver_sql("ALTER TABLE changed ALTER n TYPE text")
        with pytest.raises(DBAPIError) as refused:
            connection.execute(read)
    assert is_disconnect(refused.value), "so the bus and the API repeat the transaction on another connection"


def counter(connection: Connection) -> int:
    """Lock the only row of the table `counter`, and read its value under the lock, in one round trip."""
    query = text("SELECT n FROM counter WHERE id = :id")
    lock = text("SELECT id FROM counter WHERE id = :id FOR UPDATE")
    options = prepared.prepared("read_counter", after=lock)
    return int(connection.execute(query.execution_options(**options), {"id": 1}).scalar_one())


@pytest.fixture
def counting(engine: Engine) -> Iterator[Engine]:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (id int, n int); INSERT INTO counter VALUES (1, 1)")
    yield engine
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE counter")


def test_a_query_after_a_lock_sees_what_was_committed_while_the_lock_was_awaited(counting: Engine) -> None:
    other = connect(settings().database_url)
    with other.connect() as holder, counting.connect() as waiting, ThreadPoolExecutor(1) as pool:
        assert counter(waiting) == 1
        waiting.rollback()
        holder.exec_driver_sql("UPDATE counter SET n = 2")
        pid = waiting.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        read = pool.submit(counter, waiting)
        waits = text("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = :pid")
        with other.connect() as looking:
            eventually(lambda: looking.execute(waits, {"pid": pid}).scalar_one(), within=10)
        holder.commit()
        assert read.result(timeout=10) == 2
        assert names(waiting) == ["before_read_counter", "read_counter"]
    other.dispose()


def test_a_query_after_a_lock_works_behind_a_pooler(counting: Engine) -> None:
    with RefusingProxy(settings().database_url) as pooler:
        made = connect(pooler.url)
        with made.connect() as connection:
            assert counter(connection) == 1
            assert names(connection) == []
        made.dispose()
