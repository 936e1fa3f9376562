"""Locks a row together with its broadcast, for the caller to whom it belongs.

To any other caller the row does not exist (CONTRACT section 2), so all these functions raise Rejected with a "not found"
code. The broadcast is locked first, as everywhere.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, select

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastKind
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment, Broadcast, Hold, Offer


def lock_own_broadcast(
    uow: UnitOfWork, broadcast_id: UUID, customer_id: UUID, kind: BroadcastKind
) -> Broadcast:
    """Return the customer's booking or order. Raises Rejected: BOOKING_NOT_FOUND or ORDER_NOT_FOUND, by `kind`."""
    broadcast = uow.lock(Broadcast, broadcast_id)
    if broadcast is None or broadcast.customer_id != customer_id or broadcast.kind != kind:
        raise Rejected(Code.BOOKING_NOT_FOUND if kind is BroadcastKind.BOOKING else Code.ORDER_NOT_FOUND)
    return broadcast


def lock_offered(uow: UnitOfWork, broadcast_id: UUID, transporter_id: UUID) -> tuple[Broadcast, Offer]:
    """Return the broadcast and its offer to this transporter. Raises Rejected(BROADCAST_NOT_FOUND) without an offer."""
    broadcast = uow.lock(Broadcast, broadcast_id)
    offer = uow.session.get(Offer, (broadcast_id, transporter_id))
    if broadcast is None or offer is None:
        raise Rejected(Code.BROADCAST_NOT_FOUND)
    return broadcast, offer


def lock_offered_with_trucks(
    uow: UnitOfWork, broadcast_id: UUID, transporter_id: UUID
) -> tuple[Broadcast, list[Assignment]]:
    """Return the broadcast and the transporter's live assignments on it. Raises Rejected(BROADCAST_NOT_FOUND) without an
    offer. One query reads the offer and the assignments."""
    broadcast = uow.lock(Broadcast, broadcast_id)
    live = live_assignments_of(uow, broadcast_id, transporter_id)
    if broadcast is None or live is None:
        raise Rejected(Code.BROADCAST_NOT_FOUND)
    return broadcast, live


def live_assignments_of(uow: UnitOfWork, broadcast_id: UUID, transporter_id: UUID) -> list[Assignment] | None:
    """Return the transporter's live assignments on this broadcast; None if it was never offered to them."""
    rows = uow.session.scalars(_LIVE_OF, {"broadcast": broadcast_id, "own": transporter_id}).all()
    return [assignment for assignment in rows if assignment is not None] if rows else None


_LIVE_OF = (
    select(Assignment)
    .select_from(Offer)
    .outerjoin(
        Assignment,
        and_(
            Assignment.broadcast_id == Offer.broadcast_id,
            Assignment.transporter_id == Offer.transporter_id,
            Assignment.status.in_(LIVE),
        ),
    )
    .where(Offer.broadcast_id == bindparam("broadcast"), Offer.transporter_id == bindparam("own"))
)


def lock_own_hold(uow: UnitOfWork, hold_id: UUID, transporter_id: UUID) -> tuple[Broadcast, Hold]:
    """Return the broadcast and the transporter's hold on it. Raises Rejected(HOLD_NOT_FOUND)."""
    return _lock_hold(uow, hold_id, transporter_id)


def lock_hold(uow: UnitOfWork, hold_id: UUID) -> tuple[Broadcast, Hold]:
    """Return the broadcast and the hold, of any owner, for timers. Raises Rejected(HOLD_NOT_FOUND)."""
    return _lock_hold(uow, hold_id, None)


def _lock_hold(uow: UnitOfWork, hold_id: UUID, transporter_id: UUID | None) -> tuple[Broadcast, Hold]:
    found = uow.session.get(Hold, hold_id)
    if found is None or transporter_id not in (None, found.transporter_id):
        raise Rejected(Code.HOLD_NOT_FOUND)
    broadcast = uow.lock(Broadcast, found.broadcast_id)
    hold = uow.lock(Hold, hold_id)
    if broadcast is None or hold is None:
        raise Rejected(Code.HOLD_NOT_FOUND)
    return broadcast, hold


def lock_own_assignment(
    uow: UnitOfWork, which: ColumnElement[bool], driver_id: UUID
) -> tuple[Broadcast, Assignment]:
    """Return the broadcast and this driver's assignment on it. Raises Rejected(ASSIGNMENT_NOT_FOUND)."""
    found = lock_assignment(uow, which)
    if found is None or found[1].driver_id != driver_id:
        raise Rejected(Code.ASSIGNMENT_NOT_FOUND)
    return found


def lock_assignment(uow: UnitOfWork, which: ColumnElement[bool]) -> tuple[Broadcast, Assignment] | None:
    """Return the broadcast and the assignment, of any owner, for timers. None if there is no such assignment."""
    found = uow.session.execute(select(Assignment.id, Assignment.broadcast_id).where(which)).one_or_none()
    if found is None:
        return None
    broadcast = uow.lock(Broadcast, found.broadcast_id)
    assignment = uow.lock(Assignment, found.id)
    return None if broadcast is None or assignment is None else (broadcast, assignment)
