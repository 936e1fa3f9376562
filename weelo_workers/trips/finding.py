"""Lookup of an assignment and its broadcast, locked in the order used everywhere: the broadcast first."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, select

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment, Broadcast


def lock_with_broadcast(
    uow: UnitOfWork, which: ColumnElement[bool], driver_id: UUID | None = None
) -> tuple[Broadcast, Assignment] | None:
    """Return the broadcast and the assignment, both locked; None if there is none, or it is another driver's."""
    found = uow.session.execute(select(Assignment.id, Assignment.broadcast_id).where(which)).one_or_none()
    if found is None:
        return None
    broadcast = uow.lock(Broadcast, found.broadcast_id)
    assignment = uow.lock(Assignment, found.id)
    if broadcast is None or assignment is None or driver_id not in (None, assignment.driver_id):
        return None
    return broadcast, assignment


def lock_own_assignment(
    uow: UnitOfWork, which: ColumnElement[bool], driver_id: UUID
) -> tuple[Broadcast, Assignment]:
    """Return the broadcast and this driver's assignment, both locked. Raises Rejected(ASSIGNMENT_NOT_FOUND)."""
    found = lock_with_broadcast(uow, which, driver_id)
    if found is None:
        raise Rejected(Code.ASSIGNMENT_NOT_FOUND)
    return found
