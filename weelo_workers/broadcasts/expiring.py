"""Expires a broadcast: its open slots end, and trucks that are already assigned stay assigned."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.broadcasts.unfilled import any_transporter_online, unfilled_reason
from weelo_workers.contracts.broadcasts import BookingExpired, NoVehiclesAvailable
from weelo_workers.contracts.statuses import ExpiredBecause
from weelo_workers.lifecycles import (
    assignment as assignment_lifecycle,
    broadcast as lifecycle,
    truck_request as slot_lifecycle,
)
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, TruckRequest
from weelo_workers.queries.slots import filled
from weelo_workers.queries.views import broadcast_header


def any_online(uow: UnitOfWork, asked: Broadcast) -> bool:
    """Return whether the broadcast was offered to any transporter, or a transporter with a fitting truck is online now.

    Reads Redis, so it is called before the broadcast is locked. Under the lock, a slow Redis would delay an accept.
    """
    return bool(asked.transporters_notified) or any_transporter_online(uow, asked)


def expire_broadcast(
    uow: UnitOfWork, broadcast: Broadcast, *, online: bool, note: str | None = None
) -> list[TruckRequest]:
    """Expire the locked open broadcast, publish why, and return its slots.

    `online`: the result of `any_online`. `note`: the words of an operator, for the history.
    """
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    live = [
        a
        for a in broadcast_transitions.assignments_of(uow, broadcast.id)
        if a.status in assignment_lifecycle.LIVE
    ]
    unfilled = None if filled(slots) else unfilled_reason(uow, broadcast, online=online)
    uow.advance_all([s for s in slots if s.status in slot_lifecycle.EXPIRE.when], slot_lifecycle.EXPIRE)
    broadcast_transitions.end_holds(uow, broadcast)
    reason = ExpiredBecause(unfilled or ExpiredBecause.PARTLY_FILLED)
    why = {"reason": reason, **broadcast_transitions.reason_details(None, note)}
    broadcast_transitions.advance_and_announce(
        uow, broadcast, lifecycle.EXPIRE, slots, why=why, end_reason=reason
    )
    uow.publish(
        BookingExpired(**broadcast_header(broadcast), reason=reason),
        broadcast_transitions.transporters_with_trucks(live),
    )
    if unfilled:
        uow.publish(NoVehiclesAvailable(**broadcast_header(broadcast), reason=unfilled))
    broadcast_transitions.request_backfill(uow, broadcast)
    return slots
