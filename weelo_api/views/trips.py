"""Assignments: the drivers' answers, trip statuses and positions."""

from datetime import datetime, timedelta

from flask import Response

from weelo_api import telemetry
from weelo_api.commands.gateway import submit
from weelo_api.http.access import allow, anyone, caller
from weelo_api.http.declared import rejects, submits
from weelo_api.views.common import (
    Accepted,
    ById,
    PageOf,
    Paging,
    Parameters,
    blueprint,
    page,
    replica_session,
)
from weelo_workers import clock
from weelo_workers.contracts.broadcasts import CancelTruckResult
from weelo_workers.contracts.reasons import ReasonView, reasons
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import AssignmentStatus, Role
from weelo_workers.contracts.trips import (
    AdvanceTrip,
    AssignmentView,
    CancelTruck,
    DriverAccepts,
    DriverDeclines,
    DriverRefusal,
    Ending,
    EndTrip,
    GiveBack,
    GivingBack,
    NoShowReport,
    Replacement,
    ReplaceTruck,
    ReportNoShow,
    TripLocation,
    TripStep,
    TruckCancellation,
)
from weelo_workers.contracts.wire import TripId
from weelo_workers.queries import fleets
from weelo_workers.queries.pages import Page

api = blueprint("trips")

# A phone's clock may be this much ahead of the server's.
CLOCK_DIFFERENCE = timedelta(minutes=2)


class ByTripId(Parameters):
    """A path with the id of a trip."""

    trip_id: TripId


@api.post("/assignments/<id>/accept", responses={200: AssignmentView, 202: Accepted})
@allow(Role.DRIVER)
@submits(DriverAccepts)
def accept(path: ById) -> Response:
    """Accept an assignment."""
    return submit(DriverAccepts(assignment_id=path.id, driver_id=caller().id))


@api.post("/assignments/<id>/decline", responses={200: AssignmentView, 202: Accepted})
@allow(Role.DRIVER)
@submits(DriverDeclines)
def decline(path: ById, body: DriverRefusal) -> Response:
    """Decline an assignment. The slot is offered to other transporters again."""
    command = DriverDeclines(
        assignment_id=path.id,
        driver_id=caller().id,
        reason=body.reason,
        reason_code=body.reason_code,
    )
    return submit(command, body)


@api.post("/assignments/<id>/give-back", responses={200: AssignmentView, 202: Accepted})
@allow(Role.DRIVER, Role.TRANSPORTER)
@submits(GiveBack)
def give_back(path: ById, body: GivingBack) -> Response:
    """Give a truck back before it has loaded. Another one is searched for, and the slot is not offered to this fleet again."""
    user = caller()
    command = GiveBack(
        assignment_id=path.id,
        user_id=user.id,
        role=user.role,
        reason_code=body.reason_code,
        note=body.note,
    )
    return submit(command, body)


@api.post("/assignments/<id>/replace", responses={200: AssignmentView, 202: Accepted})
@allow(Role.TRANSPORTER)
@submits(ReplaceTruck)
def replace(path: ById, body: Replacement) -> Response:
    """Send another driver, another vehicle or both, before the truck has loaded. A new driver has to accept the trip first."""
    command = ReplaceTruck(
        assignment_id=path.id,
        transporter_id=caller().id,
        driver_id=body.driver_id,
        vehicle_id=body.vehicle_id,
        reason_code=body.reason_code,
    )
    return submit(command, body)


@api.post("/assignments/<id>/no-show", responses={200: AssignmentView, 202: Accepted})
@allow(Role.DRIVER)
@submits(ReportNoShow)
def report_no_show(path: ById, body: NoShowReport) -> Response:
    """Report that the customer did not come, after waiting at the pickup (setting PICKUP_WAIT_SECONDS). The trip ends."""
    return submit(ReportNoShow(assignment_id=path.id, driver_id=caller().id, note=body.note), body)


@api.post("/assignments/<id>/cancel", responses={200: CancelTruckResult, 202: Accepted})
@allow(Role.CUSTOMER)
@submits(CancelTruck)
def cancel_truck(path: ById, body: TruckCancellation) -> Response:
    """Cancel one truck before it has loaded, also while other trucks are under way."""
    command = CancelTruck(
        assignment_id=path.id, customer_id=caller().id, reason_code=body.reason_code, note=body.note
    )
    return submit(command, body)


@api.post("/assignments/<id>/end", responses={200: AssignmentView, 202: Accepted})
@allow(Role.ADMIN)
@submits(EndTrip)
def end(path: ById, body: Ending) -> Response:
    """End a trip as completed or as failed, in any status. The truck and its driver are free again."""
    command = EndTrip(
        assignment_id=path.id, outcome=body.outcome, reason_code=body.reason_code, note=body.note
    )
    return submit(command, body)


@api.get("/reasons", responses={200: PageOf[ReasonView]})
@anyone
def reason_codes() -> Response:
    """The reason codes that each actor can give in each stage. A stage is `offer` or a status of an assignment."""
    return page(Page(list(reasons()), None))


@api.put("/trips/<tripId>/status", responses={200: AssignmentView, 202: Accepted})
@allow(Role.DRIVER)
@submits(AdvanceTrip)
def advance(path: ByTripId, body: TripStep) -> Response:
    """Advance the status of a trip. Statuses may be skipped; an earlier status is refused."""
    _ensure_occurred(body.occurred_at)
    command = AdvanceTrip(
        trip_id=path.trip_id,
        driver_id=caller().id,
        status=AssignmentStatus(body.status),
        occurred_at=body.occurred_at,
    )
    return submit(command, body)


def _ensure_occurred(moment: datetime | None) -> None:
    """Raise Rejected(VALIDATION_ERROR) if the time is more than CLOCK_DIFFERENCE in the future."""
    if moment is not None and moment > clock.now() + CLOCK_DIFFERENCE:
        error = {"field": "occurredAt", "message": "must not be more than 2 minutes in the future"}
        raise Rejected(Code.VALIDATION_ERROR, extra={"errors": [error]})


@api.post("/trips/<tripId>/location", responses={204: None})
@allow(Role.DRIVER)
@rejects(Code.ASSIGNMENT_NOT_FOUND, Code.INVALID_TRANSITION)
def location(path: ByTripId, body: TripLocation) -> Response:
    """Report the truck's position. The customer gets it as `location_updated`, if their app is connected."""
    telemetry.trip_location(caller().id, path.trip_id, body)
    return Response(status=204)


@api.get("/assignments", responses={200: PageOf[AssignmentView]})
@allow(Role.TRANSPORTER, Role.DRIVER)
def assignments(query: Paging) -> Response:
    """The caller's own assignments, newest first."""
    with replica_session() as session:
        return page(fleets.assignments(session, caller(), query.page_request()))
