"""Assignments: the drivers' answers, trip statuses and positions."""

from uuid import UUID

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from weelo_api import telemetry
from weelo_api.commands.gateway import submit
from weelo_api.http.access import allow, caller
from weelo_api.views.common import Accepted, ById, PageOf, Paging, blueprint, page, replica_session
from weelo_workers.contracts.statuses import AssignmentStatus, Role
from weelo_workers.contracts.trips import (
    AdvanceTrip,
    AssignmentView,
    DriverAccepts,
    DriverDeclines,
    DriverRefusal,
    TripLocation,
    TripStep,
)
from weelo_workers.queries import fleets

api = blueprint("trips")


class ByTripId(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    trip_id: UUID = Field(alias="tripId")


@api.post("/assignments/<id>/accept", responses={200: AssignmentView, 202: Accepted})
@allow(Role.DRIVER)
def accept(path: ById) -> Response:
    """Accept an assignment."""
    return submit(DriverAccepts(assignment_id=path.id, driver_id=caller().id))


@api.post("/assignments/<id>/decline", responses={200: AssignmentView, 202: Accepted})
@allow(Role.DRIVER)
def decline(path: ById, body: DriverRefusal) -> Response:
    """Decline an assignment. The slot is offered to other transporters again."""
    command = DriverDeclines(assignment_id=path.id, driver_id=caller().id, reason=body.reason)
    return submit(command, body)


@api.put("/trips/<tripId>/status", responses={200: AssignmentView, 202: Accepted})
@allow(Role.DRIVER)
def advance(path: ByTripId, body: TripStep) -> Response:
    """Advance the status of a trip. Statuses may be skipped; an earlier status is refused."""
    status = AssignmentStatus(body.status)
    return submit(AdvanceTrip(trip_id=path.trip_id, driver_id=caller().id, status=status), body)


@api.post("/trips/<tripId>/location", responses={204: None})
@allow(Role.DRIVER)
def location(path: ByTripId, body: TripLocation) -> Response:
    """Publish the truck's position: the customer gets `location_updated`. Writes to no table."""
    telemetry.trip_location(caller().id, path.trip_id, body)
    return Response(status=204)


@api.get("/assignments", responses={200: PageOf[AssignmentView]})
@allow(Role.TRANSPORTER, Role.DRIVER)
def assignments(query: Paging) -> Response:
    """The caller's own assignments, newest first."""
    with replica_session() as session:
        return page(fleets.assignments(session, caller(), query.page_request()))
