"""Any command class can declare that it is ordered by subject.

The engine reads the declaration and knows no command by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.support.wakers import RecordingWaker
from tests.support.world import World
from weelo_workers.contracts.command import REGISTRY, Command
from weelo_workers.messaging import handlers, mailbox, ordering
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.messaging.write_set import WriteSet
from weelo_workers.models.mailbox import MAILBOX

NAME = "fleet.tally"


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type[Command], list[list[int]]]]:
    """Yield a command class that is ordered by subject, and a list of the commands' numbers, grouped by attempt."""
    together: list[list[int]] = []

    class Tally(Command, name=NAME, ordered_by_subject=True):
        about: UUID
        number: int

    def handle(command: Any, uow: UnitOfWork) -> None:
        rows = ordering.waiting_together(uow.session, uow.command_id, NAME, command.about)
        together.append([row.payload["number"] for row in rows])
        ordering.settle_along(uow.session, [row.id for row in rows if row.id != uow.command_id], uow.now)

    monkeypatch.setitem(handlers._handlers, NAME, handle)
    yield Tally, together
    del REGISTRY[NAME]


def send(world: World, command: Command, subject: UUID) -> tuple[UUID, bool]:
    """Write one row as the unit of work does. Return (its id, whether an older row of the subject is unsettled)."""
    with world.engine.begin() as connection:
        now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        row = mailbox.row_for(command, now=now, due_at=None, subject_id=subject)
        changes = WriteSet()
        changes.insert(MAILBOX, row)
        (crowded,) = changes.write(connection, ordering.is_crowded(row))
        return row["id"], crowded


def test_one_attempt_settles_all_that_wait_about_its_subject_in_their_order(
    world: World, tally: tuple[type[Command], list[list[int]]]
) -> None:
    command, together = tally
    one, other = uuid4(), uuid4()
    sent = [
        send(world, command.model_validate({"about": about, "number": number}), about)
        for number, about in enumerate((one, other, one, one))
    ]
    assert [crowded for _, crowded in sent] == [False, False, True, True]
    last = sent[-1][0]
    Bus(world.engine, RecordingWaker()).execute(last)
    assert together == [[0, 2, 3]]
    left = world.rows("SELECT id FROM mailbox WHERE name = :name AND settled_at IS NULL", name=NAME)
    assert [row.id for row in left] == [sent[1][0]], "only the row about the other subject"


def test_what_arrives_during_an_attempt_gets_a_wake_up_after_it(
    world: World, tally: tuple[type[Command], list[list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, _ = tally
    about = uuid4()
    late: list[UUID] = []
    handle = handlers._handlers[NAME]

    def meanwhile(first: Any, uow: UnitOfWork) -> None:
        handle(first, uow)
        if not late:
            late.append(send(world, command.model_validate({"about": about, "number": 2}), about)[0])

    monkeypatch.setitem(handlers._handlers, NAME, meanwhile)
    first, _ = send(world, command.model_validate({"about": about, "number": 1}), about)
    waker = RecordingWaker()
    Bus(world.engine, waker).execute(first)
    assert [(wake_up.id, wake_up.name) for wake_up in waker.wake_ups] == [(late[0], NAME)]
