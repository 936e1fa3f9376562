"""The unit of work: what a handler can do in the transaction of its command.

It locks rows, moves them along their lifecycles, publishes events and sends commands. A handler never commits, never
reads a clock, and never uses a broker.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Table,
    Uuid,
    any_,
    bindparam,
    event as sqlalchemy_event,
    false,
    func,
    literal_column,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import ORMExecuteState, Session, aliased, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from weelo_workers.contracts.command import Caller, Command, is_batched
from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.recipients import Recipients
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.lifecycles.lifecycle import Transition
from weelo_workers.messaging import mailbox
from weelo_workers.messaging.wakeup import WakeUp
from weelo_workers.messaging.write_set import WriteSet
from weelo_workers.models import Assignment, Base, Broadcast, Hold, TransitionRecord, TruckRequest
from weelo_workers.models.mailbox import MAILBOX
from weelo_workers.models.prepared import prepared
from weelo_workers.randomness import new_id

Row = TypeVar("Row", bound=Base)
Other = TypeVar("Other", bound=Base)
Stateful = TypeVar("Stateful", Broadcast, TruckRequest, Hold, Assignment)

_DERIVED = Recipients()
_TRANSITIONS = cast(Table, TransitionRecord.__table__)
AS_IT_IS_NOW = {"populate_existing": True}
"""Execution options that make a query replace the values of rows which the session read before a lock."""

# Zero as a part of the statement's text. A bound parameter would have no value in a statement that is executed through
# `prepared(after=…)`, because that statement gets the parameters of its caller only.
_ZERO: ColumnElement[int] = literal_column("0")

LOCKED_AT = func.clock_timestamp().label("locked_at")
"""The time after the lock, for `note_locked`, as a column of a query that is sent after its lock (`prepared(after=…)`)."""

_OWNER = "unit of work"
"""The key under which a session knows its unit of work."""

_SUBJECTS: dict[type[Base], str] = {
    Broadcast: "broadcast",
    TruckRequest: "truck_request",
    Hold: "hold",
    Assignment: "assignment",
}


class Transitioned(NamedTuple):
    """A transition that a unit of work has made. `record`: the row of the history (table `transitions`), by column."""

    row: Broadcast | TruckRequest | Hold | Assignment
    record: dict[str, Any]


@lru_cache(maxsize=16)
def _locking(model: type[Base]) -> Select[Any, datetime]:
    """Return the statement that locks and returns rows of this model, and the time after the lock. `ids`: its parameter."""
    # The time is read outside of the subquery that locks the rows. Inside that subquery, PostgreSQL would read the time
    # before it waits for the lock, and not after.
    statement = select(aliased(model, _locked(model, "ids").cte("locked")), func.clock_timestamp())
    return statement.execution_options(**prepared(f"lock_{model.__tablename__}"))


@lru_cache(maxsize=4)
def locking_in_order(first: type[Base], second: type[Base]) -> Select[Any, Any, datetime]:
    """Return the statement that locks rows of `first`, and then rows of `second`.

    Its parameters are the ids of the rows: `ids` for `first`, `then` for `second`. Each row of its result contains a
    row of one of the models, nulls in place of the other model, and the time after the lock.
    """
    locked = _locked(first, "ids").cte("locked")
    # This condition makes PostgreSQL lock all rows of the first model before it locks any of the second.
    after = _locked(second, "then").where(select(func.count()).select_from(locked).scalar_subquery() >= _ZERO)
    one, other = aliased(first, locked), aliased(second, after.cte("locked_then"))
    statement = select(one, other, func.clock_timestamp()).join(other, false(), full=True)
    return statement.execution_options(**prepared(f"lock_{first.__tablename__}_{second.__tablename__}"))


def _locked(model: type[Base], ids: str) -> Select[Any]:
    """Return the statement that locks rows in the order of their ids. `ids`: the name of its parameter with the ids."""
    return (
        select(model)
        .where(model.id == any_(bindparam(ids, type_=ARRAY(Uuid()))))  # type: ignore[attr-defined]
        .order_by(model.id)  # type: ignore[attr-defined]
        # FOR NO KEY UPDATE: an insert with a foreign key to the row does not wait for this lock.
        .with_for_update(key_share=True)
    )


class UnitOfWork:
    """Collects the effects of one command. They take effect together at the commit, or not at all."""

    def __init__(
        self,
        session: Session,
        command_id: UUID,
        command_name: str,
        caller: Caller | None,
        now: datetime | None = None,
    ) -> None:
        """Begin the unit of work of one command. `now`: the database's time after the command was claimed, if known."""
        self.session = session
        self.command_id = command_id
        self.command_name = command_name
        self.caller = caller
        self.replayed = False
        """Whether the result is that of an earlier command. The handler sets this attribute."""
        self.http_status = 200
        self.continues_at: datetime | None = None
        """When this command is to be executed again. If it is set, the command is not settled by this transaction."""
        self._now = now
        self._events: list[EventEnvelope] = []
        self._sent: list[tuple[Command, datetime | None]] = []
        self._history: list[tuple[Broadcast | TruckRequest | Hold | Assignment | None, dict[str, Any]]] = []
        self._after_commit: list[tuple[Hashable, Callable[[], None]]] = []
        """The functions to call after the commit, each with its `only_last`."""
        self._known: list[Base] = []
        """Rows that were locked or created.

        Without these references the session would read the rows again, because its own references are weak.
        """
        self._changes = WriteSet()
        self._has_written = False
        session.info[_OWNER] = self

    # --- lock ---------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The database's time, read once after the newest lock, so that later holders of a lock have later times."""
        if self._now is None:
            self._now = self.session.scalar(select(func.clock_timestamp()))
            assert self._now is not None
        return self._now

    def refresh_now(self) -> None:
        """Read the time again when `now` is next used, because the handler has waited for another system."""
        self._now = None

    def lock(self, model: type[Row], row_id: UUID) -> Row | None:
        """Lock and return a row; None if there is none. A handler locks the broadcast before its slots, holds and assignments."""
        rows = self.lock_all(model, [row_id])
        return rows[0] if rows else None

    def lock_all(self, model: type[Row], row_ids: Sequence[UUID]) -> list[Row]:
        """Lock and return rows. They are locked in id order, so that two transactions never deadlock."""
        found = self.session.execute(
            _locking(model), {"ids": list(row_ids)}, execution_options=AS_IT_IS_NOW
        ).all()
        if found:
            self._now = found[-1][1]
        rows = [row for row, _ in found]
        self._known += rows
        return rows

    def lock_in_order(
        self, first: type[Row], ids: Sequence[UUID], second: type[Other], then: Sequence[UUID]
    ) -> tuple[list[Row], list[Other]]:
        """Lock and return rows of two models by one statement: those of `first` in id order, then those of `second`."""
        found = self.session.execute(
            locking_in_order(first, second),
            {"ids": list(ids), "then": list(then)},
            execution_options=AS_IT_IS_NOW,
        ).all()
        if found:
            self._now = found[-1][2]
        these = [one for one, _, _ in found if one is not None]
        those = [other for _, other, _ in found if other is not None]
        self._known += [*these, *those]
        return these, those

    def note_locked(self, now: datetime, *rows: Base) -> None:
        """Add to `known` the rows that a query of the handler has locked. `now`: the database's time after the lock."""
        self._now = now
        self._known += rows

    def add(self, *rows: Base) -> None:
        """Insert rows at once, so that a violated constraint raises here."""
        self._write_changes()
        self.session.add_all(rows)
        self.session.flush()

    def insert(self, *rows: Base) -> None:
        """Insert rows when the collected changes are written. A violated constraint makes the command fail.

        Each row must have a value for every column.
        """
        for row in rows:
            table = cast(Table, row.__table__)
            self._changes.insert(table, {column.key: getattr(row, column.key) for column in table.c})

    # --- move ---------------------------------------------------------------------------------------

    def record_created(self, row: Stateful, name: str, **details: Any) -> None:
        """Record in the history that a row was created in its first state.

        The session keeps the row and need not read it again.
        """
        if row not in self.session:
            make_transient_to_detached(row)
            self.session.add(row)
        self._known.append(row)
        self._record(row, name, None, details)

    def advance(
        self,
        row: Stateful,
        transition: Transition[Any],
        *,
        why: dict[str, Any] | None = None,
        occurred_at: datetime | None = None,
        **columns: Any,
    ) -> Stateful:
        """Move one row along its lifecycle, and set further columns with it. See `advance_all`."""
        self.advance_all([row], transition, why=why, occurred_at=occurred_at, **columns)
        return row

    def advance_unless(
        self,
        constraint: str,
        row: Stateful,
        transition: Transition[Any],
        *,
        why: dict[str, Any] | None = None,
        **columns: Any,
    ) -> bool:
        """Move a row as `advance` does. Return False, without any effect, if this constraint forbids it."""
        self._write_changes()
        recorded = len(self._history)
        try:
            with self.session.begin_nested():
                self.advance(row, transition, why=why, **columns)
                self._write_changes()
        except IntegrityError as refused:
            if constraint not in str(refused.orig):
                raise
            del self._history[recorded:]
            self.session.refresh(row)
            return False
        return True

    def advance_all(
        self,
        rows: Sequence[Stateful],
        transition: Transition[Any],
        *,
        why: dict[str, Any] | None = None,
        occurred_at: datetime | None = None,
        **columns: Any,
    ) -> None:
        """Move rows along their lifecycle, and record this in the history. The next statement writes rows and history.

        `occurred_at`: the time of the event by the clock of a phone. It is stored in the history only.

        If a row is in another state than the transition's `when`, raises Rejected(INVALID_TRANSITION), and the whole
        command has no effect. The rows have been read under a lock. The statement checks their states again; if one has
        changed meanwhile, the command is executed again.
        """
        if not rows:
            return
        for row in rows:
            if row.status not in transition.when:
                raise Rejected(
                    Code.INVALID_TRANSITION,
                    f"The {_SUBJECTS[type(row)].replace('_', ' ')} is {row.status}: {transition.name} is not possible.",
                )
        for row in rows:
            before = row.status
            values = {"status": transition.to.value, "state_changed_at": self.now, **columns}
            expected: dict[str, Any] = {"status": before}
            if isinstance(row, Broadcast):
                expected["version"] = row.version
                values["version"] = row.version + 1
            self._changes.update(cast(Table, row.__table__), row.id, values, expected=expected)
            for name, value in values.items():
                set_committed_value(row, name, value)
            self._record(row, transition.name, before, why or {}, occurred_at)

    def _record(
        self,
        row: Stateful,
        name: str,
        before: StrEnum | str | None,
        details: dict[str, Any],
        occurred_at: datetime | None = None,
    ) -> None:
        broadcast_id = row.id if isinstance(row, Broadcast) else row.broadcast_id
        record = self._history_record(
            broadcast_id,
            (_SUBJECTS[type(row)], row.id),
            name,
            before=before,
            after=row.status,
            why=details,
            version=row.version if isinstance(row, Broadcast) else None,
            occurred_at=occurred_at,
        )
        self._history.append((row, record))

    def record(
        self,
        broadcast_id: UUID,
        subject: tuple[str, UUID],
        name: str,
        *,
        before: StrEnum | str | None,
        after: str,
        why: dict[str, Any],
    ) -> None:
        """Record in the history of a broadcast the change of a row that has no lifecycle.

        `subject`: what has changed, and its id.
        """
        record = self._history_record(broadcast_id, subject, name, before=before, after=after, why=why)
        self._history.append((None, record))

    def _history_record(
        self,
        broadcast_id: UUID,
        subject: tuple[str, UUID],
        name: str,
        *,
        before: StrEnum | str | None,
        after: str,
        why: dict[str, Any],
        version: int | None = None,
        occurred_at: datetime | None = None,
    ) -> dict[str, Any]:
        return {
            "broadcast_id": broadcast_id,
            "subject": subject[0],
            "subject_id": subject[1],
            "name": name,
            "from_status": before,
            "to_status": after,
            "version": version,
            "at": self.now,
            "occurred_at": occurred_at,
            "command_id": self.command_id,
            "cause": self.command_name,
            "actor_id": self.caller.id if self.caller else None,
            "details": why,
        }

    # --- publish ---------------------------------------------------------------------------------------

    def publish(self, event: Event, to: Recipients = _DERIVED) -> None:
        """Write the event, together with everything else, into the logs of the audiences that the catalog names for it.

        `to`: the recipients that cannot be derived from rows later. Raises TypeError if they are not of the type that the
        event declares.
        """
        if type(to) is not event.recipients:
            raise TypeError(
                f"{type(event).__name__} is published with {event.recipients.__name__}, not {type(to).__name__}"
            )
        self._events.append(
            EventEnvelope(
                id=new_id(),
                event=type(event).__name__,
                at=self.now,
                data=event.json_dict(),
                to=to.model_dump(mode="json"),
            )
        )

    def publish_stored(self, events: Iterable[EventEnvelope]) -> None:
        """Publish events that another transaction has stored."""
        self._events.extend(events)

    # --- send --------------------------------------------------------------------------------------

    def send(self, command: Command, *, at: datetime | None = None) -> None:
        """Send a command to be executed later: `at` that time, or as soon as possible.

        A sent command cannot be cancelled. If it is obsolete when it is executed, its handler does nothing or rejects
        it.
        """
        self._sent.append((command, at))

    def continue_later(self, *, at: datetime | None = None) -> None:
        """Execute this command again after the commit, `at` that time or as soon as possible.

        Use this for work that is too much for one transaction. While the handler calls this, the command stays
        unsettled; the first execution that does not call it settles the command. The handler stores its progress in
        rows of its own.
        """
        self.continues_at = max(at, self.now) if at else self.now

    def after_commit(
        self, act: Callable[[], None], *, first: bool = False, only_last: Hashable = None
    ) -> None:
        """Call `act` after the commit; `first`: before all others. If the process ends before the call, the call is lost.

        `only_last`: a key. Of all functions with the same key only the last one is called.
        """
        if only_last is not None:
            self._after_commit = [each for each in self._after_commit if each[0] != only_last]
        self._after_commit.insert(0 if first else len(self._after_commit), (only_last, act))

    # --- called by the bus ------------------------------------------------------------------------

    @property
    def transitions(self) -> Sequence[Transitioned]:
        """The transitions so far, creations of rows included, in order."""
        return [Transitioned(row, record) for row, record in self._history if row is not None]

    @property
    def known(self) -> Sequence[Base]:
        """The rows that were locked or created, in order."""
        return self._known

    @property
    def has_written(self) -> bool:
        """Whether the handler has written rows, or has changed objects that the session has not written yet."""
        return self._has_written or bool(self.session.dirty or self.session.new)

    @property
    def broadcast_id(self) -> UUID | None:
        """The broadcast that the command has changed, for the log lines; None if it has changed none."""
        return self._history[0][1]["broadcast_id"] if self._history else None

    def store_continuation(self) -> None:
        """Store when the command continues, together with everything else that is written.

        This also resets the count of crashes: the attempt has returned, so a crash that was counted beforehand did not
        happen.
        """
        assert self.continues_at is not None
        columns = {
            "due_at": self.continues_at,
            "wake_at": self.continues_at + mailbox.COMMAND_GRACE,
            "sweep_count": 0,
            "crashes": 0,
            "retry_at": None,
        }
        self._changes.update(MAILBOX, self.command_id, columns, expected={"settled_at": None})

    def settle(self, columns: Mapping[str, Any]) -> None:
        """Store the outcome in the row of the command, together with everything else that is written."""
        self._changes.update(MAILBOX, self.command_id, columns, expected={"settled_at": None})

    def flush(self, write_events: Callable[[UnitOfWork, Sequence[EventEnvelope]], None]) -> list[WakeUp]:
        """Write everything that is not written yet, the events last. Return the wake-ups to send after the commit."""
        self.session.flush()
        self._changes.insert(_TRANSITIONS, *self._numbered_history())
        wake_ups = self._write_sent()
        if self._events:
            write_events(self, self._events)
            wake_ups += self._write_sent()
        # Session and unit of work refer to each other. Python frees them at once if this cycle is broken here.
        del self.session.info[_OWNER]
        return wake_ups

    def _write_sent(self) -> list[WakeUp]:
        """Write the commands that were sent, together with all changes. Return their wake-ups."""
        rows = [mailbox.row_for(command, now=self.now, due_at=at) for command, at in self._sent]
        self._sent.clear()
        self._changes.insert(MAILBOX, *rows)
        self._write_changes()
        return [
            WakeUp(
                row["id"],
                row["name"],
                row["queue"],
                countdown=max(0.0, (row["due_at"] - self.now).total_seconds()),
            )
            for row in rows
            if not is_batched(row["name"])
        ]

    def acts_after_commit(self) -> list[Callable[[], None]]:
        """Return the functions to call after the commit, in order."""
        return [act for _, act in self._after_commit]

    def discard(self) -> None:
        """Discard all changes, events, commands and history, because the handler has rejected the command."""
        for plan in (self._events, self._sent, self._history, self._after_commit, self._changes):
            plan.clear()

    def _write_changes(self) -> None:
        if self._changes:
            self._has_written = True
            self._changes.write(self.session.connection())

    def _numbered_history(self) -> list[dict[str, Any]]:
        """Return the history. An entry of a slot, a hold or an assignment gets the broadcast's version after the command."""
        newest: dict[UUID, int] = {}
        records = [record for _, record in self._history]
        for entry in records:
            if entry["version"] is not None:
                newest[entry["broadcast_id"]] = entry["version"]
        for entry in records:
            if entry["version"] is None:
                broadcast_id = entry["broadcast_id"]
                if broadcast_id not in newest:
                    newest[broadcast_id] = self.session.get_one(Broadcast, broadcast_id).version
                entry["version"] = newest[broadcast_id]
        return records

    # --- called by the session ----------------------------------------------------------------------

    def before_statement(self, *, reads: bool) -> None:
        """Write the changes so far, so that the statement finds them in the database."""
        self._write_changes()
        self._has_written = self._has_written or not reads

    def after_flush(self) -> None:
        """Record that the session has written rows."""
        self._has_written = True


@sqlalchemy_event.listens_for(Session, "do_orm_execute")
def _before_statement(state: ORMExecuteState) -> None:
    if (owner := state.session.info.get(_OWNER)) is not None:
        owner.before_statement(reads=state.is_select)


@sqlalchemy_event.listens_for(Session, "after_flush")
def _after_flush(session: Session, _: object) -> None:
    if (owner := session.info.get(_OWNER)) is not None:
        owner.after_flush()
