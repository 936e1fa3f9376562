"""One transaction of one command: what a verb may do, in the verbs' own words.

lock, move, tell, later. A verb never commits, never reads the clock, never knows a broker.
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
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.notifications import DeliverEvents, EventEnvelope
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.lifecycles.lifecycle import Transition
from weelo_workers.messaging import mailbox
from weelo_workers.messaging.wakeup import WakeUp
from weelo_workers.models import Assignment, Base, Broadcast, Hold, TransitionRecord, TruckRequest

Row = TypeVar("Row", bound=Base)
Stateful = TypeVar("Stateful", Broadcast, TruckRequest, Hold, Assignment)

_SUBJECTS: dict[type[Base], str] = {
    Broadcast: "broadcast",
    TruckRequest: "truck_request",
    Hold: "hold",
    Assignment: "assignment",
}


class UnitOfWork:
    """Rows to lock and move, events to publish, commands to send: all take effect at the commit, or none."""

    def __init__(self, session: Session, command_id: UUID, command_name: str, caller: Caller | None) -> None:
        self.session = session
        self.command_id = command_id
        self.command_name = command_name
        self.caller = caller
        self.replayed = False
        """Set by a verb whose answer is that of an earlier command."""
        self.http_status = 200
        self.subject_id: UUID | None = None
        """What this is about: the first broadcast locked. Deliveries about it keep its order."""
        self._now: datetime | None = None
        self._told: list[EventEnvelope] = []
        self._sent: list[tuple[Command, datetime | None]] = []
        self._history: list[dict[str, Any]] = []
        self._after_commit: list[Callable[[], None]] = []

    # --- lock ---------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The database's clock, read once after the newest lock: later holders of a lock have later times."""
        if self._now is None:
            self._now = self.session.scalar(select(func.clock_timestamp()))
            assert self._now is not None
        return self._now

    def refresh_now(self) -> None:
        """Somebody outside was waited for: `now` is read again."""
        self._now = None

    def lock(self, model: type[Row], row_id: UUID) -> Row | None:
        """The row, locked until the end; None if there is none. The root (a broadcast) goes first, as everywhere."""
        rows = self.lock_all(model, [row_id])
        return rows[0] if rows else None

    def lock_all(self, model: type[Row], row_ids: Sequence[UUID]) -> list[Row]:
        """These rows, locked in id order, whatever order they are asked in: so nobody deadlocks."""
        rows = self.session.scalars(
            select(model)
            .where(model.id.in_(row_ids))  # type: ignore[attr-defined]
            .order_by(model.id)  # type: ignore[attr-defined]
            .with_for_update(key_share=True),  # an insert with a foreign key to the row does not wait
            execution_options={"populate_existing": True},
        ).all()
        self._now = None
        if model is Broadcast and rows and self.subject_id is None:
            self.subject_id = row_ids[0]
        return list(rows)

    def add(self, *rows: Base) -> None:
        """New rows. They are written at once, so that a constraint that refuses them does so here."""
        self.session.add_all(rows)
        self.session.flush()

    # --- move ---------------------------------------------------------------------------------------

    def record_created(self, row: Stateful, name: str, **details: Any) -> None:
        """Record that a thing has come into being in its first state."""
        if isinstance(row, Broadcast) and self.subject_id is None:
            self.subject_id = row.id
        self._record(row, name, None, details)

    def advance(
        self, row: Stateful, transition: Transition[Any], *, why: dict[str, Any] | None = None, **columns: Any
    ) -> Stateful:
        """Move one thing along its lifecycle, and set further columns with it. See `advance_all`."""
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
        """As `advance`; False, and nothing has happened, if this constraint forbids it."""
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
        """Move things along their lifecycle in one guarded UPDATE, and write their history.

        The guard comes from the transition, so a row in another state is not moved, whatever was read
        before. Raises Rejected(INVALID_TRANSITION) if any row refuses: the whole command then has no effect.
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

    # --- tell ---------------------------------------------------------------------------------------

    def publish(self, event: Event, **to: Any) -> None:
        """Everyone whom the catalog names for this event will hear of it, once, after the commit.

        `to` carries what the audience cannot be derived from later, in JSON (such as each recipient's distance).
        """
        self._told.append(
            EventEnvelope(id=uuid4(), event=type(event).__name__, at=self.now, data=event.json_dict(), to=to)
        )

    # --- later --------------------------------------------------------------------------------------

    def send(self, command: Command, *, at: datetime | None = None) -> None:
        """A command to our future self, due `at` that time (none: at once). It is never cancelled: the
        lifecycle refuses it if it has become pointless."""
        self._sent.append((command, at))

    def after_commit(self, act: Callable[[], None]) -> None:
        """Something outside the database that is nice to do soon, and harmless to lose."""
        self._after_commit.append(act)

    # --- the bus calls these ------------------------------------------------------------------------

    def flush(self) -> list[WakeUp]:
        """Write history, timers and the one delivery into this transaction; what to ring after its commit."""
        self._write_history()
        connection = self.session.connection()
        rows = [
            mailbox.row_for(command, now=self.now, due_at=at, subject_id=self.subject_id)
            for command, at in self._sent
        ]
        if rows:
            mailbox.write(connection, rows)
        wake_ups = [
            WakeUp(row["id"], row["name"], row["queue"], max(0.0, (row["due_at"] - self.now).total_seconds()))
            for row in rows
        ]
        if self._told:
            subject = self.subject_id or (self.caller.id if self.caller else self.command_id)
            delivery = DeliverEvents(subject_id=subject, events=tuple(self._told))
            row = mailbox.row_for(delivery, now=self.now, due_at=None, subject_id=subject)
            crowded = mailbox.write_delivery(connection, row)
            wake_ups.append(
                WakeUp(row["id"], row["name"], row["queue"], follows=subject if crowded else None)
            )
        return wake_ups

    def acts_after_commit(self) -> list[Callable[[], None]]:
        return self._after_commit

    def discard(self) -> None:
        """The verb refused and its savepoint is undone: neither tell nor send what it had in mind."""
        for plan in (self._told, self._sent, self._history, self._after_commit):
            plan.clear()

    def _write_history(self) -> None:
        if not self._history:
            return
        # A slot, a hold or an assignment is dated by its broadcast: the version that its transaction led to.
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
