"""Queries of fleets: vehicles, drivers, assignments, availability."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Double, cast, exists, func, select
from sqlalchemy.orm import Session

from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.fleet import AvailabilityView
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.models import Assignment, Driver, Transporter, Vehicle, on_the_road
from weelo_workers.queries.pages import Page, PageRequest
from weelo_workers.queries.views import assignment_view, driver_view, vehicle_view


@dataclass(frozen=True, slots=True)
class FleetAvailability:
    """`free_kinds`: the kinds of which a fleet has free trucks; None if it does not want work. `at`: the time of reading."""

    free_kinds: frozenset[str] | None
    at: float


def fleet_availability(session: Session, transporter_id: UUID) -> FleetAvailability:
    """Read the availability. `at` is the statement's time, so the result contains everything committed before it."""
    kinds = (
        select(Vehicle.vehicle_key).where(Vehicle.transporter_id == transporter_id, ~on_the_road).distinct()
    )
    wants_work = exists().where(Transporter.id == transporter_id, Transporter.is_available)
    row = session.execute(
        select(
            cast(func.extract("epoch", func.statement_timestamp()), Double).label("at"),
            wants_work.label("wants_work"),
            func.array(kinds.scalar_subquery()).label("kinds"),
        )
    ).one()
    return FleetAvailability(frozenset(row.kinds) if row.wants_work else None, row.at)


def free_trucks(session: Session, transporter_id: UUID, kinds: Collection[str]) -> list[str]:
    """Return the vehicle keys of the vehicles of these kinds without a live assignment, one per vehicle."""
    return list(
        session.scalars(
            select(Vehicle.vehicle_key).where(
                Vehicle.transporter_id == transporter_id, Vehicle.vehicle_key.in_(kinds), ~on_the_road
            )
        )
    )


def availability(session: Session, transporter_id: UUID) -> AvailabilityView:
    """Return whether the transporter wants work. A transporter who has never set it does not."""
    transporter = session.get(Transporter, transporter_id)
    if transporter is None:
        return AvailabilityView(is_available=False, changed_at=None)
    return AvailabilityView(is_available=transporter.is_available, changed_at=transporter.changed_at)


def vehicles(session: Session, transporter_id: UUID, page_request: PageRequest) -> Page:
    query = select(Vehicle).where(Vehicle.transporter_id == transporter_id)
    rows, next_cursor = page_request.apply(session, query, Vehicle.created_at, Vehicle.id)
    busy = set(
        session.scalars(
            select(Assignment.vehicle_id).where(
                Assignment.vehicle_id.in_([vehicle.id for vehicle in rows]), Assignment.status.in_(LIVE)
            )
        )
    )
    return Page([vehicle_view(vehicle, busy=vehicle.id in busy).json_dict() for vehicle in rows], next_cursor)


def drivers(session: Session, transporter_id: UUID, page_request: PageRequest) -> Page:
    query = select(Driver).where(Driver.transporter_id == transporter_id)
    rows, next_cursor = page_request.apply(session, query, Driver.created_at, Driver.id)
    return Page([driver_view(driver).json_dict() for driver in rows], next_cursor)


def assignments(session: Session, reader: Caller, page_request: PageRequest) -> Page:
    """Return a page of a transporter's or a driver's own assignments, newest first."""
    mine = Assignment.driver_id if reader.role is Role.DRIVER else Assignment.transporter_id
    rows, next_cursor = page_request.apply(
        session, select(Assignment).where(mine == reader.id), Assignment.created_at, Assignment.id
    )
    return Page([assignment_view(assignment).json_dict() for assignment in rows], next_cursor)
