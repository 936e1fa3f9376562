"""Handler (timer): at the deadline the open slots of a broadcast expire. Trucks that are already assigned stay assigned."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.broadcasts.unfilled import any_transporter_online, unfilled_reason
from weelo_workers.contracts.broadcasts import BookingExpired, ExpireBroadcast, NoVehiclesAvailable
from weelo_workers.contracts.statuses import ExpiredBecause
from weelo_workers.lifecycles import (
    assignment as assignment_lifecycle,
    broadcast as lifecycle,
    truck_request as slot_lifecycle,
)
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast
from weelo_workers.queries.slots import filled
from weelo_workers.queries.views import broadcast_header


@handles(ExpireBroadcast)
def expire(command: ExpireBroadcast, uow: UnitOfWork) -> None:
    """Expire an open broadcast at its deadline, and publish why: partly filled, or the reason from `unfilled_reason`."""
    asked = uow.session.get(Broadcast, command.broadcast_id)
    if asked is None:
        return
    # Redis is read before the lock is taken, so that an accept does not wait for Redis.
    online = bool(asked.transporters_notified) or any_transporter_online(uow, asked)
    broadcast = uow.lock(Broadcast, command.broadcast_id)
    if broadcast is None or broadcast.status in lifecycle.FINAL:
        return
    if uow.now < broadcast.expires_at:
        # The deadline has moved since this timer was set, so another timer is set. A full broadcast needs it as well,
        # because it may lose a truck and be open again at the new deadline.
        uow.send(command, at=broadcast.expires_at)
        return
    if broadcast.status not in lifecycle.EXPIRE.when:
        return
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
    broadcast_transitions.advance_and_announce(
        uow, broadcast, lifecycle.EXPIRE, slots, why={"reason": reason}, end_reason=reason
    )
    uow.publish(
        BookingExpired(**broadcast_header(broadcast), reason=reason),
        broadcast_transitions.transporters_with_trucks(live),
    )
    if unfilled:
        uow.publish(NoVehiclesAvailable(**broadcast_header(broadcast), reason=unfilled))
    broadcast_transitions.request_backfill(uow, broadcast)
