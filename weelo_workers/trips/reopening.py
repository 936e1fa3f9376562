"""Ends the assignment of a truck that does not come. Its slot is offered again, or expires.

`lose_truck` is the same for every cause; `lifecycles/reoffer.py` has the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, select

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.broadcasts import ExpireBroadcast, ReofferBroadcast, TrucksRemainingUpdate
from weelo_workers.contracts.reasons import ReasonCode
from weelo_workers.contracts.statuses import BroadcastStatus
from weelo_workers.lifecycles import broadcast as lifecycle, truck_request as slot_lifecycle
from weelo_workers.lifecycles.reoffer import RULES, LostBecause, ReofferRule, RoundLimits, open_until
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import (
    Assignment,
    Broadcast,
    Driver,
    Offer,
    TruckRequest,
    Vehicle,
    driver_busy,
    vehicle_busy,
)
from weelo_workers.models.fleet import of_kinds
from weelo_workers.queries.slots import filled, kinds_of, searching, split_given_back
from weelo_workers.queries.views import broadcast_header
from weelo_workers.trips.ending import continue_without, slot_of


def lose_truck(
    uow: UnitOfWork,
    broadcast: Broadcast,
    assignment: Assignment,
    because: LostBecause,
    reason_code: ReasonCode | None = None,
    note: str | None = None,
) -> None:
    """End the assignment, free its driver and vehicle, and offer the slot again if the rule of the cause allows it.

    Raises Rejected(INVALID_TRANSITION) if the assignment is in another state than the rule's transition allows.
    """
    rule = RULES[because]
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    assignments = broadcast_transitions.assignments_of(uow, broadcast.id)
    slot = slot_of(slots, assignment)
    why = broadcast_transitions.reason_details(reason_code, note)
    uow.advance(assignment, rule.transition, why=why, reason_code=reason_code, note=note)
    uow.advance(slot, slot_lifecycle.REOPEN, why=why)
    broadcast_transitions.announce_assignments(uow, broadcast, [assignment])
    broadcast_transitions.trucks_freed(uow, [assignment.transporter_id])
    if rule.new_round:
        may_take_another = _may_take_another(uow, slots, assignments, assignment.transporter_id)
    else:
        may_take_another = _has_another_truck(uow, slot, assignment)
    if not may_take_another:
        _decline_for_fleet(uow, assignment, rule, reason_code)
    reoffered = _reopen(uow, broadcast, slots, slot, rule, why)
    if not reoffered:
        uow.advance(slot, slot_lifecycle.EXPIRE, why=why)
        continue_without(uow, broadcast, slots, assignments, assignment, because=None, why=why)
    if rule.new_round:
        broadcast_transitions.announce_loss(uow, broadcast, assignment, reoffered=reoffered)
    broadcast_transitions.complete_if_delivered(uow, broadcast, slots, assignments)


def _may_take_another(
    uow: UnitOfWork,
    slots: Sequence[TruckRequest],
    assignments: Sequence[Assignment],
    fleet: UUID,
) -> bool:
    """Return whether the fleet has a truck, free or not, of a kind that another open slot needs.

    Slots on hold count. Slots that the fleet gave back do not count, and the slot that is being given back is one of them.
    """
    open_slots = [slot for slot in slots if slot.status in slot_lifecycle.OPEN]
    others, _ = split_given_back(open_slots, assignments, fleet)
    if not others:
        return False
    has_trucks = exists().where(Vehicle.transporter_id == fleet, of_kinds(kinds_of(others)))
    return bool(uow.session.scalar(select(has_trucks)))


def _has_another_truck(uow: UnitOfWork, slot: TruckRequest, assignment: Assignment) -> bool:
    """Return whether the fleet has another free truck for the slot, and another free driver."""
    fleet = assignment.transporter_id
    trucks = uow.session.scalar(
        select(func.count()).where(
            Vehicle.transporter_id == fleet,
            of_kinds(kinds_of([slot])),
            Vehicle.id != assignment.vehicle_id,
            ~vehicle_busy,
        )
    )
    drivers = uow.session.scalar(
        select(func.count()).where(
            Driver.transporter_id == fleet,
            Driver.id != assignment.driver_id,
            Driver.is_available,
            ~driver_busy,
        )
    )
    return bool(trucks and drivers)


def _decline_for_fleet(
    uow: UnitOfWork, assignment: Assignment, rule: ReofferRule, reason_code: ReasonCode | None
) -> None:
    """Decline the offer on behalf of the fleet, and store whether the broadcast may be offered to the fleet again.

    If the fleet has declined the offer before, a prohibition is stored, but a permission is not.
    """
    offer = uow.session.get(Offer, (assignment.broadcast_id, assignment.transporter_id))
    if offer is None:
        return
    if offer.declined_at is None:
        offer.declined_at = uow.now
        offer.decline_reason_code = reason_code
        offer.may_be_offered_again = rule.may_be_offered_again
    elif not rule.may_be_offered_again:
        offer.may_be_offered_again = False
    uow.session.flush()


def _reopen(
    uow: UnitOfWork,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    slot: TruckRequest,
    rule: ReofferRule,
    why: dict[str, Any],
) -> bool:
    """Reopen the broadcast. Return False if the rule forbids it, or if the customer has another open broadcast."""
    until = open_until(
        rule,
        BroadcastStatus(broadcast.status),
        now=uow.now,
        deadline=broadcast.expires_at,
        rounds=broadcast.reoffer_rounds,
        limits=RoundLimits(broadcast.policy.reoffer_seconds, broadcast.policy.reoffer_rounds),
    )
    if until is None:
        return False
    left = filled(slots)
    columns: dict[str, Any] = {"expires_at": until}
    if rule.new_round:
        columns |= {
            "radius_step": 0,
            "radius_km": None,
            "contracted_until": None,
            "reoffer_rounds": broadcast.reoffer_rounds + 1,
            "end_reason": None,
        }
    if broadcast.status == BroadcastStatus.EXPIRED:
        # The slots that expired at the deadline do not come back, so the broadcast goes on without them.
        open_slots = sum(each.status in slot_lifecycle.OPEN for each in slots)
        columns["trucks_needed"] = left + open_slots
    transition = lifecycle.REOPEN_SOME if left else lifecycle.REOPEN_ALL
    if not uow.advance_unless("one_open_broadcast_per_customer", broadcast, transition, why=why, **columns):
        return False
    broadcast_transitions.announce_state(uow, broadcast, slots)
    uow.publish(TrucksRemainingUpdate(**broadcast_header(broadcast), trucks_remaining=len(searching(slots))))
    uow.send(ReofferBroadcast(broadcast_id=broadcast.id, truck_request_id=slot.id, new_round=rule.new_round))
    if rule.new_round:
        # A new timer is set, because the timer of the old deadline may have run already.
        uow.send(ExpireBroadcast(broadcast_id=broadcast.id), at=until)
    return True
