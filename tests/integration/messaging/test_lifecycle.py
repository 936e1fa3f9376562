"""The SQL conditions and the bus agree with the mailbox row's lifecycle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from tests.support.wakers import NullWaker
from tests.support.world import World
from weelo_workers.contracts.broadcasts import CancelBroadcast
from weelo_workers.contracts.statuses import BroadcastKind, Role
from weelo_workers.lifecycles.mailbox import LIFECYCLE, MailboxState as S, state_of
from weelo_workers.messaging import crashes, failures, handlers
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.sweep import sweep
from weelo_workers.models import MailboxRow
from weelo_workers.models.mailbox import active, parked, retrying, unsettled, waiting


def test_the_conditions_in_sql_say_what_the_lifecycle_says(world: World) -> None:
    rows = {}
    with world.engine.begin() as connection:
        for settled_as, is_parked, attempts, crashes in product(
            (None, "succeeded", "rejected"), (False, True), range(3), range(4)
        ):
            if settled_as and is_parked:
                continue  # no row is both parked and settled
            row = uuid4()
            rows[row] = state_of(settled_as=settled_as, parked=is_parked, attempts=attempts, crashes=crashes)
            connection.execute(
                text(
                    "INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at, attempts, crashes, status, settled_at, parked_at)"
                    " VALUES (:id, 'broadcasts.cancel', 'broadcasts', '{}', now(), now(), :attempts, :crashes, :status,"
                    " CASE WHEN :settled THEN now() END, CASE WHEN :parked THEN now() END)"
                ),
                {
                    "id": row,
                    "attempts": attempts,
                    "crashes": crashes,
                    "status": settled_as or "pending",
                    "settled": settled_as is not None,
                    "parked": is_parked,
                },
            )
        for condition, states in (
            (waiting, {S.WAITING}),
            (retrying, {S.RETRYING}),
            (parked, {S.PARKED}),
            (active, {S.WAITING, S.RETRYING}),
            (unsettled, {S.WAITING, S.RETRYING, S.PARKED}),
        ):
            found = set(connection.scalars(select(MailboxRow.id).where(condition(), MailboxRow.id.in_(rows))))
            assert found == {row for row, state in rows.items() if state in states}, condition.__name__


class Crash(BaseException):
    """Ends an attempt as `kill -9` does."""


class Watched:
    """Records each change of one row's state as (from, to)."""

    def __init__(self, world: World, command_id: UUID) -> None:
        self.world, self.command_id = world, command_id
        self.path = [self.state()]

    def state(self) -> S:
        [row] = self.world.rows("SELECT * FROM mailbox WHERE id = :id", id=self.command_id)
        return state_of(
            settled_as=row.status if row.settled_at else None,
            parked=row.parked_at is not None,
            attempts=row.attempts,
            crashes=row.crashes,
        )

    @contextmanager
    def moving(self) -> Iterator[None]:
        yield
        self.path.append(self.state())
        self.world.shift(30)

    def arrows(self) -> set[tuple[S, S]]:
        return {(start, end) for start, end in zip(self.path, self.path[1:], strict=False) if start != end}


@pytest.fixture
def command(world: World) -> UUID:
    customer = uuid4()
    cancel = CancelBroadcast(broadcast_id=uuid4(), customer_id=customer, kind=BroadcastKind.BOOKING)
    return world.post(cancel, customer, Role.CUSTOMER)


def test_a_row_moves_only_along_the_arrows_of_its_lifecycle(
    world: World, command: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command fails until it is parked, and is requeued.

    Then it crashes its worker until it is parked, is requeued again and settled.
    """
    row = Watched(world, command)
    bus = Bus(world.engine, NullWaker())

    def fails(*_: Any) -> None:
        raise RuntimeError("a bug")

    def crash(*_: Any) -> None:
        raise Crash

    def requeue() -> None:
        with row.moving(), world.engine.begin() as connection:
            failures.requeue(connection, command)

    with monkeypatch.context() as patched:
        patched.setitem(handlers._handlers, "broadcasts.cancel", fails)
        while row.state() is not S.PARKED:
            with row.moving():
                bus.execute(command)
        requeue()
        patched.setitem(handlers._handlers, "broadcasts.cancel", crash)
        patched.setattr(crashes, "unmark_crash", lambda *_: None)
        while row.state() is not S.PARKED:
            with row.moving(), suppress(Crash):
                bus.execute(command, redelivered=True)
        requeue()
    with row.moving():
        sweep(bus, seconds=1)
        bus.execute(command)

    assert row.path[-1] is S.REJECTED, "there is no such broadcast"
    assert row.arrows() <= {(start, end) for start, end, _ in LIFECYCLE.arrows()}
    assert row.arrows() == {
        (S.WAITING, S.RETRYING),
        (S.RETRYING, S.PARKED),
        (S.PARKED, S.WAITING),
        (S.WAITING, S.REJECTED),
    }


def test_an_attempt_that_returns_takes_its_crash_mark_back(
    world: World, command: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row has one earlier crash. With the mark it has two, so its state is retrying until the attempt returns."""
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE mailbox SET crashes = 1 WHERE id = :id"), {"id": command})
    row = Watched(world, command)

    def without_database(*_: Any) -> None:
        row.path.append(row.state())
        raise OperationalError("", {}, Exception("the database is away"))

    monkeypatch.setitem(handlers._handlers, "broadcasts.cancel", without_database)
    with row.moving():
        Bus(world.engine, NullWaker()).execute(command)
    assert row.path == [S.WAITING, S.RETRYING, S.WAITING]
    assert row.arrows() <= {(start, end) for start, end, _ in LIFECYCLE.arrows()}
