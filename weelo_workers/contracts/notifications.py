"""The contract of notifications: pushes, stored events, and the frames of the socket."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.delivery import EventEnvelope

Seq = Annotated[int, Field(ge=0, le=2**63 - 1)]  # the positive range of PostgreSQL's bigint


class DeliverEvents(Command, name="notifications.deliver"):
    """Write the events of one transaction into their recipients' logs.

    Only versions before 0.2.0 sent this command. Since then the transaction writes the events itself. Beat's probe
    messages to the queue `notifications` have the name of this command, because the queue's other command, a push, runs
    in the background.
    """

    events: tuple[EventEnvelope, ...]


class SendPushes(Command, name="notifications.push", runs_in_background=True):
    """Push one event to the phones of these users. `to`: user → seq of the event in the user's log.

    `data`: the content of the push apart from type, eventId and seq. `waited`: whether the time in which a socket can
    acknowledge the event has passed. `devices`: if set, push to these only, because FCM did not accept the earlier
    pushes to them.
    """

    event_id: UUID
    event: str
    data: dict[str, str]
    ends_at: AwareDatetime
    to: dict[UUID, int]
    waited: bool = False
    devices: tuple[UUID, ...] | None = None
    attempt: int = 0


def frame(event: dict[str, Any], seq: int, own: dict[str, Any] | None) -> dict[str, Any]:
    """Return one line of a user's log as a frame of the socket (CONTRACT section 5).

    `event`: `{id, event, at, data}`, the same for all recipients. `own`: fields of this recipient, which override `data`.
    """
    data = {**event["data"], **own} if own else event["data"]
    return {"id": event["id"], "seq": seq, "event": event["event"], "at": event["at"], "data": data}
