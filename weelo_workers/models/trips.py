"""Assignments: a truck and its driver on a slot. Each slot, driver and vehicle has at most one live assignment."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    Select,
    SQLColumnExpression,
    UniqueConstraint,
    exists,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.contracts.reasons import ALL_CODES
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.models.base import Base, Id, is_in, one_of, status_in
from weelo_workers.models.fleet import Driver, Vehicle


class Assignment(Base):
    __tablename__ = "assignments"

    id: Mapped[Id]
    trip_id: Mapped[UUID]
    broadcast_id: Mapped[UUID] = mapped_column(ForeignKey("broadcasts.id", ondelete="CASCADE"))
    truck_request_id: Mapped[UUID] = mapped_column(ForeignKey("truck_requests.id", ondelete="CASCADE"))
    transporter_id: Mapped[UUID]
    driver_id: Mapped[UUID] = mapped_column(ForeignKey("drivers.id"))
    vehicle_id: Mapped[UUID] = mapped_column(ForeignKey("vehicles.id"))
    vehicle_number: Mapped[str]
    status: Mapped[str]
    reason_code: Mapped[str | None]
    """Why the assignment ended. The user's own words are in `note`."""
    note: Mapped[str | None]
    replaced_drivers: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'"))
    """The ids of the drivers who were replaced. Their commands are rejected with DRIVER_REPLACED."""
    expires_at: Mapped[datetime | None]
    """The deadline for the driver's answer."""
    created_at: Mapped[datetime]
    state_changed_at: Mapped[datetime]
    ring: Mapped[str | None]
    """The ring of the offer that was accepted: the number of its step, or `last`. Null if an earlier version made the row."""

    __table_args__ = (
        UniqueConstraint("trip_id", name="a_trip_is_one_assignment"),
        Index(
            "one_live_assignment_per_slot", "truck_request_id", unique=True, postgresql_where=status_in(LIVE)
        ),
        Index("one_live_assignment_per_driver", "driver_id", unique=True, postgresql_where=status_in(LIVE)),
        Index("one_live_assignment_per_vehicle", "vehicle_id", unique=True, postgresql_where=status_in(LIVE)),
        Index("assignments_of_a_broadcast", "broadcast_id"),
        Index("assignments_of_a_slot", "truck_request_id"),
        Index("assignments_of_a_transporter", "transporter_id", "created_at"),
        Index("assignments_of_a_driver", "driver_id", "created_at"),
        Index(
            "assignments_given_back",
            "broadcast_id",
            "transporter_id",
            postgresql_where=status_in({AssignmentStatus.GIVEN_BACK}),
        ),
        one_of("status", AssignmentStatus, "an_assignment_has_a_known_status"),
        one_of("reason_code", ALL_CODES, "an_assignment_has_a_known_reason"),
    )


def vehicle_is_busy(vehicle: type[Vehicle]) -> ColumnElement[bool]:
    """Return the condition that a vehicle of the enclosing query has a live assignment. `vehicle`: `Vehicle` or an alias of it."""
    return exists().where(Assignment.vehicle_id == vehicle.id, is_in(Assignment.status, LIVE))


def driver_is_busy(driver: type[Driver]) -> ColumnElement[bool]:
    """Return the condition that a driver of the enclosing query has a live assignment, whether on duty or not."""
    return exists().where(Assignment.driver_id == driver.id, is_in(Assignment.status, LIVE))


vehicle_busy = vehicle_is_busy(Vehicle)
"""The condition that a vehicle of the enclosing query has a live assignment."""

driver_busy = driver_is_busy(Driver)
"""The condition that a driver of the enclosing query has a live assignment, whether on duty or not."""


def slots_given_back(
    broadcast_id: SQLColumnExpression[UUID], transporter_id: SQLColumnExpression[UUID]
) -> Select[UUID]:
    """Return the query of the slots of a broadcast that a transporter gave back (WAYS-02)."""
    return select(Assignment.truck_request_id).where(
        Assignment.broadcast_id == broadcast_id,
        Assignment.transporter_id == transporter_id,
        is_in(Assignment.status, {AssignmentStatus.GIVEN_BACK}),
    )
