"""Vehicles, drivers, availability and heartbeats of a transporter."""

from flask import Response, jsonify

from weelo_api import telemetry
from weelo_api.commands.gateway import submit
from weelo_api.commands.rate_limit import Policy
from weelo_api.commands.rate_limit_headers import limited_by_worker
from weelo_api.http.access import allow, anyone, caller
from weelo_api.http.declared import submits
from weelo_api.views.common import Accepted, PageOf, Paging, Parameters, blueprint, page, replica_session
from weelo_workers.contracts.fleet import (
    CHANGES_WINDOW_SECONDS,
    MAX_CHANGES,
    Availability,
    AvailabilityView,
    DriverDetails,
    DriverView,
    Heartbeat,
    RegisterDriver,
    RegisterVehicle,
    SetAvailability,
    SetDriverAvailability,
    VehicleDetails,
    VehicleNumber,
    VehicleView,
)
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.vehicle_kinds import CATALOGUE, VehicleKindView
from weelo_workers.contracts.wire import DriverId
from weelo_workers.queries import fleets
from weelo_workers.queries.pages import Page
from weelo_workers.queries.views import vehicle_kind_view

api = blueprint("fleet")


class ByVehicleNumber(Parameters):
    """A path with the number of a vehicle."""

    vehicle_number: VehicleNumber


class ByDriverId(Parameters):
    """A path with the id of a driver."""

    driver_id: DriverId


@api.get("/vehicle-kinds", responses={200: PageOf[VehicleKindView]})
@anyone
def vehicle_kinds() -> Response:
    """The catalogue of vehicle kinds: those that customers can ask for and fleets can register."""
    return page(Page([vehicle_kind_view(kind) for kind in CATALOGUE], None))


@api.put("/vehicles/<vehicleNumber>", responses={200: VehicleView, 201: VehicleView, 202: Accepted})
@allow(Role.TRANSPORTER)
@submits(RegisterVehicle)
def register_vehicle(path: ByVehicleNumber, body: VehicleDetails) -> Response:
    """Register a vehicle, or correct its details."""
    command = RegisterVehicle(transporter_id=caller().id, vehicle_number=path.vehicle_number, details=body)
    return submit(command, body)


@api.get("/vehicles", responses={200: PageOf[VehicleView]})
@allow(Role.TRANSPORTER)
def vehicles(query: Paging) -> Response:
    """The fleet's vehicles, newest first."""
    with replica_session() as session:
        return page(fleets.vehicles(session, caller().id, query.page_request()))


@api.put("/drivers/<driverId>", responses={200: DriverView, 201: DriverView, 202: Accepted})
@allow(Role.TRANSPORTER)
@submits(RegisterDriver)
def register_driver(path: ByDriverId, body: DriverDetails) -> Response:
    """Add a driver to the fleet, or correct their details."""
    return submit(RegisterDriver(transporter_id=caller().id, driver_id=path.driver_id, details=body), body)


@api.get("/drivers", responses={200: PageOf[DriverView]})
@allow(Role.TRANSPORTER)
def drivers(query: Paging) -> Response:
    """The fleet's drivers, newest first."""
    with replica_session() as session:
        return page(fleets.drivers(session, caller().id, query.page_request()))


@api.put("/transporter/availability", responses={200: AvailabilityView, 202: Accepted})
@limited_by_worker(Policy("availability", MAX_CHANGES, CHANGES_WINDOW_SECONDS))
@allow(Role.TRANSPORTER)
@submits(SetAvailability)
def set_availability(body: Availability) -> Response:
    """Go online or offline for offers. Refuses more than 10 changes in 5 minutes; a repeated value does not count."""
    return submit(SetAvailability(transporter_id=caller().id, is_available=body.is_available), body)


@api.get("/transporter/availability", responses={200: AvailabilityView})
@allow(Role.TRANSPORTER)
def availability() -> Response:
    """Return whether the transporter is online."""
    with replica_session() as session:
        return jsonify(fleets.availability(session, caller().id).json_dict())


@api.put("/driver/availability", responses={200: DriverView, 202: Accepted})
@allow(Role.DRIVER)
@submits(SetDriverAvailability)
def set_driver_availability(body: Availability) -> Response:
    """Set whether the driver is on duty. The driver's transporter is notified of a change."""
    return submit(SetDriverAvailability(driver_id=caller().id, is_available=body.is_available), body)


@api.post("/transporter/heartbeat", responses={204: None})
@allow(Role.TRANSPORTER)
def heartbeat(body: Heartbeat) -> Response:
    """Report an available transporter's position. Without such reports the transporter counts as offline after a while."""
    telemetry.transporter_heartbeat(caller().id, body.latitude, body.longitude)
    return Response(status=204)
