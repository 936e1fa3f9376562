"""Handler: a transporter sends another driver or another vehicle on the same trip."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.reasons import ReasonCode, SystemReason
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import (
    AssignmentStatus,
    BroadcastStatus,
    TripCancelledBecause,
    TruckRequestStatus,
)
from weelo_workers.contracts.trips import AssignmentView, ExpireAssignment, ReplaceTruck
from weelo_workers.fleet_lock import FleetLock, wrong_kind
from weelo_workers.lifecycles import (
    assignment as lifecycle,
    broadcast as broadcast_lifecycle,
    truck_request as slot_lifecycle,
)
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment, Broadcast, TruckRequest
from weelo_workers.ownership import lock_fleet_assignment
from weelo_workers.queries.relations import are_blocked
from weelo_workers.queries.views import assignment_view
from weelo_workers.trips.ending import slot_of


@handles(ReplaceTruck)
def replace(command: ReplaceTruck, uow: UnitOfWork) -> AssignmentView:
    """Name the new driver, the new vehicle or both; repeating it succeeds. Possible until the goods are loaded.

    A new driver is asked and has DRIVER_ACCEPT_SECONDS to answer. With only a new vehicle the status stays. Raises
    Rejected: INVALID_TRANSITION, BLOCKED, and the codes of an accept for a vehicle or driver that cannot be assigned.
    """
    broadcast, assignment = lock_fleet_assignment(uow, command.assignment_id, command.transporter_id)
    if assignment.status not in lifecycle.BEFORE_LOADING:
        raise Rejected(Code.INVALID_TRANSITION, f"The trip is {assignment.status}.")
    vehicle_id = command.vehicle_id if command.vehicle_id != assignment.vehicle_id else None
    driver_id = command.driver_id if command.driver_id != assignment.driver_id else None
    if vehicle_id is None and driver_id is None:
        uow.replayed = True
        return assignment_view(assignment)
    # A truck that was won before the block stays, but the blocked fleet may not send another one.
    if are_blocked(uow.session, broadcast.customer_id, command.transporter_id):
        raise Rejected(Code.BLOCKED)
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    assignments = broadcast_transitions.assignments_of(uow, broadcast.id)
    slot = slot_of(slots, assignment)
    columns = _checked(uow, command.transporter_id, slot, vehicle_id, driver_id)
    code = command.reason_code or SystemReason.REPLACED
    why = broadcast_transitions.reason_details(code) | {
        name: str(value) for name, value in (("vehicleId", vehicle_id), ("driverId", driver_id)) if value
    }
    if driver_id is None:
        # The assignment keeps its status, so it also keeps the time of its last change, from which timers count.
        transition = lifecycle.REPLACE_VEHICLE[AssignmentStatus(assignment.status)]
        columns["state_changed_at"] = assignment.state_changed_at
        uow.advance(assignment, transition, why=why, **columns)
    else:
        _ask_another_driver(uow, broadcast, assignment, slot, code, why, columns)
        in_progress = broadcast.status == BroadcastStatus.IN_PROGRESS
        if in_progress and not any(each.status in lifecycle.HAS_SET_OUT for each in assignments):
            broadcast_transitions.advance_and_announce(
                uow, broadcast, broadcast_lifecycle.NONE_UNDER_WAY, slots, why=why
            )
    broadcast_transitions.announce_assignments(uow, broadcast, [assignment])
    return assignment_view(assignment)


def _checked(
    uow: UnitOfWork,
    transporter_id: UUID,
    slot: TruckRequest,
    vehicle_id: UUID | None,
    driver_id: UUID | None,
) -> dict[str, Any]:
    """Lock the new vehicle and the new driver, and return their columns. Raises Rejected if one cannot be assigned."""
    fleet = FleetLock(
        uow, transporter_id, [vehicle_id] if vehicle_id else [], [driver_id] if driver_id else []
    )
    columns: dict[str, Any] = {}
    if vehicle_id is not None:
        vehicle = fleet.vehicle(vehicle_id)
        fleet.ensure_free_vehicle(vehicle)
        if not slot.fits(vehicle):
            raise wrong_kind(vehicle)
        columns |= {"vehicle_id": vehicle.id, "vehicle_number": vehicle.vehicle_number}
    if driver_id is not None:
        driver = fleet.driver(driver_id)
        fleet.ensure_free_driver(driver)
        columns["driver_id"] = driver.id
    return columns


def _ask_another_driver(
    uow: UnitOfWork,
    broadcast: Broadcast,
    assignment: Assignment,
    slot: TruckRequest,
    code: ReasonCode,
    why: dict[str, Any],
    columns: dict[str, Any],
) -> None:
    """Assign the trip to the new driver, who has the full time to answer, and notify both drivers."""
    before, new = assignment.driver_id, columns["driver_id"]
    replaced = {*assignment.replaced_drivers, str(before)} - {str(new)}
    uow.advance(
        assignment,
        lifecycle.REPLACE_DRIVER,
        why=why,
        replaced_drivers=sorted(replaced),
        expires_at=uow.now + timedelta(seconds=broadcast.policy.driver_accept_seconds),
        **columns,
    )
    if slot.status == TruckRequestStatus.ACCEPTED:
        uow.advance(slot, slot_lifecycle.REASSIGN, why=why)
    uow.send(ExpireAssignment(assignment_id=assignment.id), at=assignment.expires_at)
    broadcast_transitions.announce_trip_cancelled(
        uow, broadcast, assignment, TripCancelledBecause.REPLACED, reason_code=code, driver_id=before
    )
    broadcast_transitions.announce_trip_assigned(uow, broadcast, assignment)
