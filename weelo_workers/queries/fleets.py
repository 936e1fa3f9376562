"""Queries of fleets: vehicles, drivers, assignments, availability."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, Double, Uuid, any_, bindparam, cast, column, exists, func, or_, select
from sqlalchemy.orm import Session

from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.fleet import AvailabilityView
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.models import Assignment, Driver, Transporter, Vehicle, vehicle_busy
from weelo_workers.models.base import is_in
from weelo_workers.models.fleet import of_kinds
from weelo_workers.models.prepared import prepared
from weelo_workers.queries.pages import Page, PageRequest
from weelo_workers.queries.views import assignment_view, driver_view, vehicle_view


@dataclass(frozen=True, slots=True)
class FleetAvailability:
    """The availability of a fleet.

    `free_kinds`: the kinds of its free trucks; None if it does not want work. `busy_kinds`: the kinds whose trucks are
    all on the road. `at`: the time of reading.
    """

    free_kinds: frozenset[str] | None
    busy_kinds: frozenset[str]
    at: float


def fleet_availability(session: Session, transporter_ids: Collection[UUID]) -> dict[UUID, FleetAvailability]:
    """Return the availability of these fleets, with everything that was committed before `at`, the time of the query."""
    return {
        row.id: FleetAvailability(
            frozenset(row.free) if row.wants_work else None, frozenset(row.all) - frozenset(row.free), row.at
        )
        for row in session.execute(_AVAILABILITY, {"fleets": list(transporter_ids)})
    }


_given = func.unnest(bindparam("fleets", type_=ARRAY(Uuid())))
_fleet = _given.table_valued(column("id", Uuid()), name="fleet").render_derived()
_kinds = select(Vehicle.vehicle_key).where(Vehicle.transporter_id == _fleet.c.id).distinct()
_AVAILABILITY = select(
    _fleet.c.id,
    cast(func.extract("epoch", func.statement_timestamp()), Double).label("at"),
    exists().where(Transporter.id == _fleet.c.id, Transporter.is_available).label("wants_work"),
    func.array(_kinds.where(~vehicle_busy).scalar_subquery()).label("free"),
    func.array(_kinds.scalar_subquery()).label("all"),
).execution_options(**prepared("read_fleets"))


def free_trucks(session: Session, transporter_id: UUID, kinds: Collection[str]) -> list[str]:
    """Return the kind of each free vehicle that has one of these kinds. Two free vehicles of a kind give two entries."""
    return list(
        session.scalars(
            select(Vehicle.vehicle_key).where(
                Vehicle.transporter_id == transporter_id, of_kinds(kinds), ~vehicle_busy
            )
        )
    )


@dataclass(frozen=True, slots=True)
class Busy:
    """The ids of vehicles and drivers with a live assignment."""

    vehicles: frozenset[UUID]
    drivers: frozenset[UUID]


def busy_among(session: Session, vehicle_ids: Collection[UUID], driver_ids: Collection[UUID] = ()) -> Busy:
    """Return which of these vehicles and drivers are busy, in one query (`models.trips.vehicle_busy`, `driver_busy`)."""
    live = session.execute(_LIVE, {"vehicles": list(vehicle_ids), "drivers": list(driver_ids)}).all()
    return Busy(
        frozenset(row.vehicle_id for row in live).intersection(vehicle_ids),
        frozenset(row.driver_id for row in live).intersection(driver_ids),
    )


_LIVE = (
    select(Assignment.vehicle_id, Assignment.driver_id)
    .where(
        is_in(Assignment.status, LIVE),
        or_(
            Assignment.vehicle_id == any_(bindparam("vehicles", type_=ARRAY(Uuid()))),
            Assignment.driver_id == any_(bindparam("drivers", type_=ARRAY(Uuid()))),
        ),
    )
    .execution_options(**prepared("read_busy"))
)


def availability(session: Session, transporter_id: UUID) -> AvailabilityView:
    """Return whether the transporter wants work; False if the transporter has never stated it."""
    transporter = session.get(Transporter, transporter_id)
    if transporter is None:
        return AvailabilityView(is_available=False, changed_at=None)
    return AvailabilityView(is_available=transporter.is_available, changed_at=transporter.changed_at)


def vehicles(session: Session, transporter_id: UUID, page_request: PageRequest) -> Page:
    query = select(Vehicle).where(Vehicle.transporter_id == transporter_id)
    rows, next_cursor = page_request.apply(session, query, Vehicle.created_at, Vehicle.id)
    busy = busy_among(session, [vehicle.id for vehicle in rows]).vehicles
    return Page([vehicle_view(vehicle, busy=vehicle.id in busy) for vehicle in rows], next_cursor)


def drivers(session: Session, transporter_id: UUID, page_request: PageRequest) -> Page:
    query = select(Driver).where(Driver.transporter_id == transporter_id)
    rows, next_cursor = page_request.apply(session, query, Driver.created_at, Driver.id)
    return Page([driver_view(driver) for driver in rows], next_cursor)


def assignments(session: Session, reader: Caller, page_request: PageRequest) -> Page:
    """Return a page of a transporter's or a driver's own assignments, newest first."""
    mine = Assignment.driver_id if reader.role is Role.DRIVER else Assignment.transporter_id
    rows, next_cursor = page_request.apply(
        session, select(Assignment).where(mine == reader.id), Assignment.created_at, Assignment.id
    )
    return Page([assignment_view(assignment) for assignment in rows], next_cursor)
