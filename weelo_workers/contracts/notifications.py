"""The notifications domain: telling people what happened, and what became of their commands."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import AwareDatetime

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.delivery import EventDelivery


class DeliverEvents(EventDelivery, name="notifications.deliver", ordered_by_subject=True):
    """Write the events of one transaction into their recipients' logs, in the order of the subject's history."""


class SendPushes(Command, name="notifications.push", runs_in_background=True):
    """One event to the phones of these users (user → seq of their line).

    `data`: what the push says beside type, eventId and seq. `waited`: a socket had its time to acknowledge.
    `devices`: only these, which FCM could not take before.
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
    """One line of a user's log as the socket carries it (CONTRACT section 5).

    `event` is `{id, event, at, data}` as all its readers share it; `own` is laid over the data.
    """
    data = {**event["data"], **own} if own else event["data"]
    return {"id": event["id"], "seq": seq, "event": event["event"], "at": event["at"], "data": data}
