"""Locks a row together with its broadcast, for the caller who owns the row, for operators and for timers.

For any other caller the row does not exist (CONTRACT section 2), so the functions for callers raise Rejected with a
"not found" code. Like every handler, all functions lock the broadcast first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Uuid,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute, aliased
from sqlalchemy.types import TypeEngine

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastKind
from weelo_workers.lifecycles.ladder import ring_name
from weelo_workers.messaging.unit_of_work import AS_IT_IS_NOW, LOCKED_AT, UnitOfWork
from weelo_workers.models import Assignment, Broadcast, Hold, Offer, TruckRequest
from weelo_workers.models.prepared import prepared
from weelo_workers.queries.offered_to import OfferedTo, note_offered_to
from weelo_workers.queries.open_offers import kept_out, open_offer_exists
from weelo_workers.queries.relations import are_blocked, is_blocked


def lock_own_broadcast(
    uow: UnitOfWork, broadcast_id: UUID, customer_id: UUID, kind: BroadcastKind
) -> Broadcast:
    """Return the customer's booking or order. Raises Rejected: BOOKING_NOT_FOUND or ORDER_NOT_FOUND, by `kind`."""
    broadcast = uow.lock(Broadcast, broadcast_id)
    if broadcast is None or broadcast.customer_id != customer_id or broadcast.kind != kind:
        raise Rejected(Code.BOOKING_NOT_FOUND if kind is BroadcastKind.BOOKING else Code.ORDER_NOT_FOUND)
    return broadcast


def lock_any_broadcast(uow: UnitOfWork, broadcast_id: UUID) -> Broadcast:
    """Return the broadcast of any customer, for operators. Raises Rejected(BROADCAST_NOT_FOUND)."""
    broadcast = uow.lock(Broadcast, broadcast_id)
    if broadcast is None:
        raise Rejected(Code.BROADCAST_NOT_FOUND)
    return broadcast


@dataclass(frozen=True, slots=True)
class OfferToDecline:
    """An offer of a locked broadcast."""

    broadcast: Broadcast
    offer: Offer
    others_may_take_it: bool
    """Whether another transporter may still take the broadcast."""
    is_kept_out: bool
    """Whether another open broadcast passed the transporter over for lack of room."""


def lock_offer_to_decline(uow: UnitOfWork, broadcast_id: UUID, transporter_id: UUID) -> OfferToDecline:
    """Return this transporter's offer of the broadcast. Raises Rejected(BROADCAST_NOT_FOUND) if the transporter has no offer of it."""
    broadcast = uow.lock(Broadcast, broadcast_id)
    found = uow.session.execute(
        _TO_DECLINE, {"broadcast": broadcast_id, "own": transporter_id}, execution_options=AS_IT_IS_NOW
    ).one_or_none()
    if broadcast is None or found is None:
        raise Rejected(Code.BROADCAST_NOT_FOUND)
    return OfferToDecline(broadcast, found.Offer, found.others_may_take_it, found.is_kept_out)


_TO_DECLINE = (
    select(
        Offer,
        open_offer_exists(bindparam("broadcast", type_=Uuid()), besides=bindparam("own", type_=Uuid())).label(
            "others_may_take_it"
        ),
        kept_out(bindparam("own", type_=Uuid())).label("is_kept_out"),
    )
    .where(
        Offer.broadcast_id == bindparam("broadcast", type_=Uuid()),
        Offer.transporter_id == bindparam("own", type_=Uuid()),
    )
    .execution_options(**prepared("read_offer_to_decline"))
)


def offer_unless_blocked(uow: UnitOfWork, broadcast: Broadcast, transporter_id: UUID) -> Offer:
    """Return the offer of this locked broadcast to this transporter.

    Raises Rejected: BLOCKED if the customer and the transporter block one another, with or without an offer;
    BROADCAST_NOT_FOUND if the transporter has no offer of it.
    """
    found = uow.session.execute(
        _OFFER,
        {"broadcast": broadcast.id, "own": transporter_id, "customer": broadcast.customer_id},
        execution_options=AS_IT_IS_NOW,
    ).one_or_none()
    if found is None:
        raise not_offered(uow, broadcast, transporter_id)
    if found.is_blocked:
        raise Rejected(Code.BLOCKED)
    offer: Offer = found.Offer
    return offer


_IS_BLOCKED = is_blocked(bindparam("customer", type_=Uuid()), bindparam("own", type_=Uuid())).label(
    "is_blocked"
)
_OFFER = select(Offer, _IS_BLOCKED).where(
    Offer.broadcast_id == bindparam("broadcast"), Offer.transporter_id == bindparam("own")
)


def not_offered(uow: UnitOfWork, broadcast: Broadcast, transporter_id: UUID) -> Rejected:
    """Return the rejection of a transporter without an offer of the broadcast: BLOCKED or BROADCAST_NOT_FOUND."""
    blocked = are_blocked(uow.session, broadcast.customer_id, transporter_id)
    return Rejected(Code.BLOCKED if blocked else Code.BROADCAST_NOT_FOUND)


@dataclass(frozen=True, slots=True)
class OfferedBroadcast:
    """A locked broadcast that was offered to the caller, with all slots in order and all assignments, oldest first."""

    broadcast: Broadcast
    slots: list[TruckRequest]
    assignments: list[Assignment]
    ring: str
    """The ring of the offer."""
    is_blocked: bool
    """Whether the customer and the caller block one another."""


def lock_offered_with_trucks(uow: UnitOfWork, broadcast_id: UUID, transporter_id: UUID) -> OfferedBroadcast:
    """Return the broadcast with slots and assignments.

    Raises Rejected if the transporter has no offer: BLOCKED or BROADCAST_NOT_FOUND, by the rule of `not_offered`.

    Everything that an accept reads of the broadcast is read here, in the round trip of the lock.
    """
    parameters = {"broadcast": broadcast_id, "own": transporter_id}
    found = uow.session.execute(_OFFERED, parameters, execution_options=AS_IT_IS_NOW).all()
    if not found:
        raise Rejected(Code.BROADCAST_NOT_FOUND)
    first = found[0]
    if first.step is None:
        raise Rejected(Code.BLOCKED if first.is_blocked else Code.BROADCAST_NOT_FOUND)
    uow.note_locked(first.locked_at, first.Broadcast)
    offers = [OfferedTo(*each) for each in zip(first.offered_to, first.in_version, strict=True)]
    note_offered_to(uow.session, broadcast_id, offers)
    slots = {each.TruckRequest.id: each.TruckRequest for each in found}
    assignments = [each.Assignment for each in found if each.Assignment is not None]
    return OfferedBroadcast(
        first.Broadcast,
        list(slots.values()),
        sorted(assignments, key=lambda a: a.created_at),
        ring=ring_name(first.step, last_step=first.last_step),
        is_blocked=first.is_blocked,
    )


def _array_of(values: InstrumentedAttribute[Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """Return the SQL expression for the array of this column's values in all rows. Without rows the array is empty."""
    return func.coalesce(func.array_agg(values, type_=ARRAY(kind)), literal_column("'{}'", ARRAY(kind)))


_BROADCAST = bindparam("broadcast", type_=Uuid())
_LOCKED = select(Broadcast.id).where(Broadcast.id == _BROADCAST).with_for_update(key_share=True)
_ALL_OFFERS = aliased(Offer)
_EVERY_OFFER = (
    select(
        _array_of(_ALL_OFFERS.transporter_id, Uuid()).label("transporters"),
        _array_of(_ALL_OFFERS.version, Integer()).label("versions"),
    )
    .where(_ALL_OFFERS.broadcast_id == _BROADCAST, _ALL_OFFERS.withdrawn_at.is_(None))
    .subquery()
)
# The query has a row for each slot. Values of the whole broadcast are only in the row of the first slot.
_IS_FIRST = TruckRequest.request_number == 1
_OFFERED = (
    select(
        Broadcast,
        TruckRequest,
        Assignment,
        Offer.step,
        Offer.last_step,
        case((_IS_FIRST, is_blocked(Broadcast.customer_id, bindparam("own", type_=Uuid())))).label(
            "is_blocked"
        ),
        case((_IS_FIRST, _EVERY_OFFER.c.transporters)).label("offered_to"),
        case((_IS_FIRST, _EVERY_OFFER.c.versions)).label("in_version"),
        LOCKED_AT,
    )
    .select_from(TruckRequest)
    .outerjoin(
        Offer,
        and_(
            Offer.broadcast_id == TruckRequest.broadcast_id,
            Offer.transporter_id == bindparam("own", type_=Uuid()),
        ),
    )
    .join(_EVERY_OFFER, true())
    .outerjoin(Broadcast, and_(Broadcast.id == TruckRequest.broadcast_id, _IS_FIRST))
    .outerjoin(Assignment, Assignment.truck_request_id == TruckRequest.id)
    .where(TruckRequest.broadcast_id == _BROADCAST)
    .order_by(TruckRequest.request_number)
    .execution_options(**prepared("read_offered", after=_LOCKED))
)


def lock_own_hold(uow: UnitOfWork, hold_id: UUID, transporter_id: UUID) -> tuple[Broadcast, Hold]:
    """Return the broadcast and the transporter's hold on it. Raises Rejected(HOLD_NOT_FOUND)."""
    return _lock_hold(uow, hold_id, transporter_id)


def lock_hold(uow: UnitOfWork, hold_id: UUID) -> tuple[Broadcast, Hold]:
    """Return the broadcast and the hold of any transporter, for timers. Raises Rejected(HOLD_NOT_FOUND)."""
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
    """Return the broadcast and this driver's assignment on it.

    Raises Rejected: ASSIGNMENT_NOT_FOUND, or DRIVER_REPLACED if the transporter has given the trip to another driver.
    """
    broadcast, assignment = _existing(lock_assignment(uow, which))
    if assignment.driver_id != driver_id:
        replaced = str(driver_id) in assignment.replaced_drivers
        raise Rejected(Code.DRIVER_REPLACED if replaced else Code.ASSIGNMENT_NOT_FOUND)
    return broadcast, assignment


def lock_fleet_assignment(
    uow: UnitOfWork, assignment_id: UUID, transporter_id: UUID
) -> tuple[Broadcast, Assignment]:
    """Return the broadcast and this transporter's assignment on it. Raises Rejected(ASSIGNMENT_NOT_FOUND)."""
    broadcast, assignment = _existing(lock_assignment(uow, Assignment.id == assignment_id))
    if assignment.transporter_id != transporter_id:
        raise Rejected(Code.ASSIGNMENT_NOT_FOUND)
    return broadcast, assignment


def lock_customers_assignment(
    uow: UnitOfWork, assignment_id: UUID, customer_id: UUID
) -> tuple[Broadcast, Assignment]:
    """Return this customer's broadcast and an assignment on it. Raises Rejected(ASSIGNMENT_NOT_FOUND)."""
    broadcast, assignment = _existing(lock_assignment(uow, Assignment.id == assignment_id))
    if broadcast.customer_id != customer_id:
        raise Rejected(Code.ASSIGNMENT_NOT_FOUND)
    return broadcast, assignment


def lock_any_assignment(uow: UnitOfWork, assignment_id: UUID) -> tuple[Broadcast, Assignment]:
    """Return the broadcast and the assignment, for operators. Raises Rejected(ASSIGNMENT_NOT_FOUND)."""
    return _existing(lock_assignment(uow, Assignment.id == assignment_id))


def lock_assignment(uow: UnitOfWork, which: ColumnElement[bool]) -> tuple[Broadcast, Assignment] | None:
    """Return the broadcast and the assignment, for timers. None if there is no such assignment."""
    found = uow.session.execute(select(Assignment.id, Assignment.broadcast_id).where(which)).one_or_none()
    if found is None:
        return None
    broadcast = uow.lock(Broadcast, found.broadcast_id)
    assignment = uow.lock(Assignment, found.id)
    return None if broadcast is None or assignment is None else (broadcast, assignment)


def _existing(found: tuple[Broadcast, Assignment] | None) -> tuple[Broadcast, Assignment]:
    if found is None:
        raise Rejected(Code.ASSIGNMENT_NOT_FOUND)
    return found
