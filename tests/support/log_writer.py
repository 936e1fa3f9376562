"""Writes lines into users' logs: stores events in the mailbox and executes these rows in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from unittest.mock import patch
from uuid import UUID, uuid4

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

import weelo_workers.notifications.deliver
import weelo_workers.notifications.event_log  # noqa: F401 (importing it registers the function that writes events)
from tests.support.message_checks import STAND_INS
from tests.support.wakers import NullWaker
from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.contracts.notifications import DeliverEvents
from weelo_workers.messaging import mailbox
from weelo_workers.messaging.bus import Bus
from weelo_workers.models import EventRecord, LogLine
from weelo_workers.models.engine import engine
from weelo_workers.models.mailbox import MAILBOX
from weelo_workers.notifications import live_stream
from weelo_workers.notifications.catalog import BY_NAME, Own, Route, always


def _named(_session: Session, envelope: EventEnvelope) -> Mapping[UUID, Own]:
    return {UUID(reader): own for reader, own in envelope.to.items()}


# The test event goes to the users in its envelope. Its route has a push condition (`always`), so that its delivery
# queries the recipients' devices, as the delivery of an offer does.
EVENT = "Tested"
BY_NAME[EVENT] = Route("tested", (_named,), pushed=always)
STAND_INS.add("tested")


class LogWriter:
    def __init__(self) -> None:
        self.committed_at = 0.0
        """Time of the last delivery's commit (`perf_counter`), before its lines were published."""
        self._bus = Bus(engine(), NullWaker(), after_commit_executor=self._afterwards)

    def post(self, to: Mapping[UUID, Own], count: int = 1, *, size: int = 0) -> UUID:
        """Store `count` events for these readers in one row of the mailbox, as earlier versions did. Return the row's id.

        `size`: characters of padding per event.
        """
        now = datetime.now(UTC)
        readers = {str(reader): own for reader, own in to.items()}
        events = tuple(
            EventEnvelope(
                id=uuid4(), event=EVENT, at=now, data={"number": number, "padding": "x" * size}, to=readers
            )
            for number in range(1, count + 1)
        )
        row = mailbox.row_for(DeliverEvents(events=events), now=now, due_at=None)
        with engine().begin() as connection:
            connection.execute(insert(MAILBOX), row)
        delivery: UUID = row["id"]
        return delivery

    def deliver(self, delivery: UUID) -> None:
        """Write the lines of stored events, commit, and publish them, as the transaction of any command does."""
        self._bus.execute(delivery)

    def write(
        self, user_id: UUID, count: int = 1, *, own: Own = None, size: int = 0
    ) -> list[live_stream.StreamEvent]:
        """Write lines without publishing them. Return their stream events, which the test may publish."""
        items: list[live_stream.StreamEvent] = []
        with patch.object(live_stream, "publish", items.extend):
            self.deliver(self.post({user_id: own}, count, size=size))
        assert len(items) == count, "the delivery failed: see the log"
        return items

    def write_and_publish(
        self, user_id: UUID, count: int = 1, *, own: Own = None, size: int = 0
    ) -> list[live_stream.StreamEvent]:
        """Write lines and publish them."""
        items = self.write(user_id, count, own=own, size=size)
        live_stream.publish(items)
        return items

    def purge(self, user_id: UUID, up_to: int) -> None:
        """Delete a log's events up to this seq, with their lines, as the purger does."""
        old = select(LogLine.event_id).where(LogLine.user_id == user_id, LogLine.seq <= up_to)
        with engine().begin() as connection:
            connection.execute(delete(EventRecord).where(EventRecord.id.in_(old)))

    def _afterwards(self, act: Callable[[], None]) -> None:
        self.committed_at = time.perf_counter()
        act()
