"""The unit of work: what a handler can do in the transaction of its command.

It locks rows, moves them along their lifecycles, publishes events and sends commands. A handler never commits, never
reads a clock, and never uses a broker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from weelo_workers.contracts.command import Caller, Command
from weelo_workers.contracts.delivery import EventEnvelope, event_delivery
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.recipients import Recipients
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.lifecycles.lifecycle import Transition
from weelo_workers.messaging import mailbox, ordering
from weelo_workers.messaging.wakeup import WakeUp
from weelo_workers.models import Assignment, Base, Broadcast, Hold, TransitionRecord, TruckRequest

Row = TypeVar("Row", bound=Base)
Stateful = TypeVar("Stateful", Broadcast, TruckRequest, Hold, Assignment)

_DERIVED = Recipients()

_SUBJECTS: dict[type[Base], str] = {
    Broadcast: "broadcast",
    TruckRequest: "truck_request",
    Hold: "hold",
    Assignment: "assignment",
}


class UnitOfWork:
    """Collects the effects of one command. They take effect together at the commit, or not at all."""

    def __init__(self, session: Session, command_id: UUID, command_name: str, caller: Caller | None) -> None:
        self.session = session
        self.command_id = command_id
        self.command_name = command_name
        self.caller = caller
        self.replayed = False
        """Set by a handler whose result is that of an earlier command."""
        self.http_status = 200
        self.subject_id: UUID | None = None
        """The first broadcast locked or created. Its events are delivered in the order of its history."""
        self._now: datetime | None = None
        self._events: list[EventEnvelope] = []
        self._sent: list[tuple[Command, datetime | None]] = []
        self._history: list[dict[str, Any]] = []
        self._after_commit: list[Callable[[], None]] = []

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
        rows = self.session.scalars(
            select(model)
            .where(model.id.in_(row_ids))  # type: ignore[attr-defined]
            .order_by(model.id)  # type: ignore[attr-defined]
            .with_for_update(key_share=True),  # an insert that refers to the row does not wait
            execution_options={"populate_existing": True},
        ).all()
        self._now = None
        if model is Broadcast and rows and self.subject_id is None:
            self.subject_id = row_ids[0]
        return list(rows)

    def add(self, *rows: Base) -> None:
        """Insert rows. They are written at once, so that a violated constraint raises here."""
        self.session.add_all(rows)
        self.session.flush()

    # --- move ---------------------------------------------------------------------------------------

    def record_created(self, row: Stateful, name: str, **details: Any) -> None:
        """Record in the history that a row was created in its first state."""
        if isinstance(row, Broadcast) and self.subject_id is None:
            self.subject_id = row.id
        self._record(row, name, None, details)

    def advance(
        self, row: Stateful, transition: Transition[Any], *, why: dict[str, Any] | None = None, **columns: Any
    ) -> Stateful:
        """Move one row along its lifecycle, and set further columns with it. See `advance_all`."""
        self.advance_all([row], transition, why=why, **columns)
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
        try:
            with self.session.begin_nested():
                self.advance(row, transition, why=why, **columns)
        except IntegrityError as refused:
            if constraint not in str(refused.orig):
                raise
            self.session.refresh(row)
            return False
        return True

    def advance_all(
        self,
        rows: Sequence[Stateful],
        transition: Transition[Any],
        *,
        why: dict[str, Any] | None = None,
        **columns: Any,
    ) -> None:
        """Move rows along their lifecycle in one guarded UPDATE, and record it in the history.

        The guard is the transition's `when`, so a row in another state is not moved, whatever was read before. If there
        is one, raises Rejected(INVALID_TRANSITION), and the whole command has no effect.
        """
        if not rows:
            return
        model = type(rows[0])
        before = {row.id: row.status for row in rows}
        values: dict[str, Any] = {"status": transition.to, "state_changed_at": self.now, **columns}
        if model is Broadcast:
            values["version"] = Broadcast.version + 1
        moved = self.session.scalars(
            update(model)
            .where(model.id.in_(before), model.status.in_(transition.when))
            .values(**values)
            .returning(model),
            execution_options={"populate_existing": True, "synchronize_session": False},
        ).all()
        if len(moved) < len(before):
            stuck = next(row for row in rows if row.id not in {m.id for m in moved})
            raise Rejected(
                Code.INVALID_TRANSITION,
                f"The {_SUBJECTS[model].replace('_', ' ')} is {stuck.status}: {transition.name} is not possible.",
            )
        for row in moved:
            self._record(row, transition.name, before[row.id], why or {})

    def _record(
        self, row: Stateful, name: str, before: StrEnum | str | None, details: dict[str, Any]
    ) -> None:
        broadcast_id = row.id if isinstance(row, Broadcast) else row.broadcast_id
        self._history.append(
            {
                "broadcast_id": broadcast_id,
                "subject": _SUBJECTS[type(row)],
                "subject_id": row.id,
                "name": name,
                "from_status": before,
                "to_status": row.status,
                "version": row.version if isinstance(row, Broadcast) else None,
                "at": row.state_changed_at,
                "command_id": self.command_id,
                "cause": self.command_name,
                "actor_id": self.caller.id if self.caller else None,
                "details": details,
            }
        )

    # --- publish ---------------------------------------------------------------------------------------

    def publish(self, event: Event, to: Recipients = _DERIVED) -> None:
        """Deliver the event once, after the commit, to the audiences that the catalog names for it.

        `to`: the recipients that cannot be derived from rows later. Raises TypeError if they are not of the type that the
        event declares.
        """
        if type(to) is not event.recipients:
            raise TypeError(
                f"{type(event).__name__} is published with {event.recipients.__name__}, not {type(to).__name__}"
            )
        self._events.append(
            EventEnvelope(
                id=uuid4(),
                event=type(event).__name__,
                at=self.now,
                data=event.json_dict(),
                to=to.model_dump(mode="json"),
            )
        )

    # --- send --------------------------------------------------------------------------------------

    def send(self, command: Command, *, at: datetime | None = None) -> None:
        """Send a command to be executed later: `at` that time, or as soon as possible.

        It cannot be cancelled. If it has become pointless by then, the lifecycle refuses it.
        """
        self._sent.append((command, at))

    def after_commit(self, act: Callable[[], None]) -> None:
        """Call `act` after the commit. It is lost if the process ends first, so it must be harmless to lose."""
        self._after_commit.append(act)

    # --- called by the bus ------------------------------------------------------------------------

    def flush(self) -> list[WakeUp]:
        """Write history, commands and the delivery of the events. Return the wake-ups to send after the commit."""
        self._write_history()
        connection = self.session.connection()
        rows = [
            mailbox.row_for(command, now=self.now, due_at=at, subject_id=self.subject_id)
            for command, at in self._sent
        ]
        if self._events:
            subject = self.subject_id or (self.caller.id if self.caller else self.command_id)
            delivery = event_delivery()(subject_id=subject, events=tuple(self._events))
            rows.append(mailbox.row_for(delivery, now=self.now, due_at=None, subject_id=subject))
        unordered = [row for row in rows if not ordering.is_ordered(row["name"])]
        if unordered:
            mailbox.write(connection, unordered)
        crowded = {
            row["id"]: ordering.write(connection, row) for row in rows if ordering.is_ordered(row["name"])
        }
        return [
            WakeUp(
                row["id"],
                row["name"],
                row["queue"],
                countdown=max(0.0, (row["due_at"] - self.now).total_seconds()),
                follows=row["subject_id"] if crowded.get(row["id"]) else None,
            )
            for row in rows
        ]

    def acts_after_commit(self) -> list[Callable[[], None]]:
        """Return what `after_commit` was given, in order."""
        return self._after_commit

    def discard(self) -> None:
        """Forget all events, commands and history, because the handler has rejected the command."""
        for plan in (self._events, self._sent, self._history, self._after_commit):
            plan.clear()

    def _write_history(self) -> None:
        if not self._history:
            return
        # A slot, a hold or an assignment has no version: its entry has that of its broadcast after this transaction.
        newest: dict[UUID, int] = {}
        for entry in self._history:
            if entry["version"] is not None:
                newest[entry["broadcast_id"]] = entry["version"]
        for entry in self._history:
            if entry["version"] is None:
                broadcast_id = entry["broadcast_id"]
                if broadcast_id not in newest:
                    newest[broadcast_id] = self.session.get_one(Broadcast, broadcast_id).version
                entry["version"] = newest[broadcast_id]
        self.session.connection().execute(insert(cast(Table, TransitionRecord.__table__)), self._history)
