"""Queries of a driver's trips."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.models import Assignment, Broadcast


def customer_of_trip(session: Session, trip_id: UUID, driver_id: UUID) -> UUID:
    """Return the customer of this driver's trip.

    Raises Rejected: ASSIGNMENT_NOT_FOUND if the trip is not this driver's, INVALID_TRANSITION if the driver has not
    accepted it yet or it is over.
    """
    trip = session.execute(
        select(Broadcast.customer_id, Assignment.status)
        .join(Assignment, Assignment.broadcast_id == Broadcast.id)
        .where(Assignment.trip_id == trip_id, Assignment.driver_id == driver_id)
    ).one_or_none()
    if trip is None:
        raise Rejected(Code.ASSIGNMENT_NOT_FOUND)
    if trip.status not in LIVE - {AssignmentStatus.PENDING}:
        raise Rejected(Code.INVALID_TRANSITION, f"The trip is {trip.status}.")
    customer_id: UUID = trip.customer_id
    return customer_id
