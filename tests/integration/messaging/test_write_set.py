"""Rows are written together by one statement, and only if none of them has changed since it was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Table, event, text

from tests.support import deviations
from tests.support.world import World
from weelo_workers.contracts.command import REGISTRY, Command
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastStatus, Role
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.messaging import handlers
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.messaging.write_set import ChangedMeanwhile, WriteSet
from weelo_workers.models import Broadcast, Driver
from weelo_workers.models.mailbox import MAILBOX

DRIVERS = cast(Table, Driver.__table__)
NAME = "fleet.try_a_handler"


@pytest.fixture
def handled_by(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., type[Command]]]:
    """Return a function that registers a command with this handler."""

    def register(handler: Callable[[Any, UnitOfWork], None]) -> type[Command]:
        class TryAHandler(Command, name=NAME, rejects=(Code.NOT_FOUND, Code.INVALID_TRANSITION)):
            pass

        monkeypatch.setitem(handlers._handlers, NAME, handler)
        return TryAHandler

    yield register
    del REGISTRY[NAME]


def driver(name: str) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "transporter_id": uuid4(),
        "name": name,
        "phone": "+91 11 2345 6789",
        "license_number": None,
        "is_available": True,
        "created_at": datetime.now(UTC),
    }


def names(world: World) -> list[str]:
    return [row.name for row in world.rows("SELECT name FROM drivers ORDER BY name")]


def test_inserts_and_updates_are_one_statement(world: World) -> None:
    one, two = driver("one"), driver("two")
    changes, statements = WriteSet(), []
    with world.engine.begin() as connection:
        event.listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
        changes.insert(DRIVERS, one, two)
        changes.write(connection)
        changes.update(DRIVERS, one["id"], {"name": "first"}, expected={"name": "one"})
        changes.update(DRIVERS, one["id"], {"phone": "+91 22"}, expected={"name": "first"})
        changes.update(DRIVERS, two["id"], {"license_number": "DL"}, expected={"license_number": None})
        changes.insert(DRIVERS, driver("three"))
        changes.write(connection)
    assert len(statements) == 2
    assert names(world) == ["first", "three", "two"]
    assert world.value("SELECT phone FROM drivers WHERE name = 'first'") == "+91 22"
    assert not changes


def test_a_row_that_has_changed_meanwhile_is_not_written(world: World) -> None:
    known = driver("one")
    changes = WriteSet()
    with world.engine.begin() as connection:
        changes.insert(DRIVERS, known)
        changes.write(connection)
    changes.update(DRIVERS, known["id"], {"name": "first"}, expected={"name": "another"})
    with pytest.raises(ChangedMeanwhile, match="drivers"), world.engine.begin() as connection:
        changes.write(connection)
    assert names(world) == ["one"]


def test_a_row_to_insert_cannot_be_updated_by_the_same_statement(world: World) -> None:
    changes, new = WriteSet(), driver("one")
    changes.insert(DRIVERS, new)
    with pytest.raises(ValueError, match="drivers"):
        changes.update(DRIVERS, new["id"], {"name": "first"}, expected={})


def test_json_null_in_a_json_column_is_null(world: World) -> None:
    world.book(uuid4())
    row = world.value("SELECT id FROM mailbox WHERE caller_id IS NOT NULL")
    changes = WriteSet()
    changes.update(
        MAILBOX, row, {"result": None, "error": {"code": "ä \" ' %s"}}, expected={"replayed": False}
    )
    with world.engine.begin() as connection:
        changes.write(connection)
    found = world.rows("SELECT result IS NULL AS nothing, error FROM mailbox WHERE id = :id", id=row)
    assert [(each.nothing, each.error) for each in found] == [(True, {"code": "ä \" ' %s"})]


def test_a_command_that_wrote_over_a_change_is_executed_again(
    world: World, handled_by: Callable[..., type[Command]]
) -> None:
    """The handler reads without a lock, and another transaction moves the broadcast before the handler's rows are written."""
    broadcast_id = world.broadcast(1)
    seen: list[str] = []

    def cancel(command: Command, uow: UnitOfWork) -> None:
        broadcast = uow.session.get_one(Broadcast, broadcast_id)
        seen.append(broadcast.status)
        uow.advance(broadcast, lifecycle.CANCEL)
        if len(seen) == 1:
            with world.engine.begin() as other:
                other.execute(
                    text("UPDATE broadcasts SET status = 'expired' WHERE id = :id"), {"id": broadcast_id}
                )

    outcome = world.execute(handled_by(cancel)(), uuid4(), Role.ADMIN)
    assert seen == [BroadcastStatus.ACTIVE, BroadcastStatus.EXPIRED]
    assert outcome.error["code"] == "INVALID_TRANSITION"
    assert world.status(broadcast_id) == "expired"


def test_a_rejection_undoes_what_the_handler_has_written(
    world: World, handled_by: Callable[..., type[Command]]
) -> None:
    broadcast_id = world.broadcast(1)
    attempts: list[UUID] = []

    def write_and_reject(command: Command, uow: UnitOfWork) -> None:
        attempts.append(uow.command_id)
        uow.advance(cast(Broadcast, uow.lock(Broadcast, broadcast_id)), lifecycle.CANCEL)
        uow.add(Driver(**driver("one")))
        raise Rejected(Code.NOT_FOUND)

    outcome = world.execute(handled_by(write_and_reject)(), uuid4(), Role.ADMIN)
    assert outcome.error["code"] == "NOT_FOUND"
    assert names(world) == []
    assert world.status(broadcast_id) == "active"
    assert len(attempts) == 1, "it is not asked again"
    assert world.value("SELECT count(*) FROM events WHERE event = 'booking_cancelled'") == 0


def test_a_rejection_that_is_not_declared_is_answered_and_logged(
    world: World, handled_by: Callable[..., type[Command]]
) -> None:
    def reject(command: Command, uow: UnitOfWork) -> None:
        raise Rejected(Code.TOO_EARLY)

    outcome = world.execute(handled_by(reject)(), uuid4(), Role.ADMIN)
    assert outcome.error["code"] == "TOO_EARLY"
    assert deviations.take() == [f"{NAME} is rejected with TOO_EARLY, which it does not declare"]


def test_a_rejection_undoes_changes_of_rows_in_memory(
    world: World, handled_by: Callable[..., type[Command]]
) -> None:
    known = driver("one")
    with world.engine.begin() as connection:
        connection.execute(DRIVERS.insert(), known)

    def change_and_reject(command: Command, uow: UnitOfWork) -> None:
        uow.lock(Driver, known["id"]).name = "another"
        raise Rejected(Code.NOT_FOUND)

    outcome = world.execute(handled_by(change_and_reject)(), uuid4(), Role.ADMIN)
    assert outcome.error["code"] == "NOT_FOUND"
    assert names(world) == ["one"]
