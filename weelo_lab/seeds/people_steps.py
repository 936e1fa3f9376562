"""The steps of people: each sends a command as an app or the console does.

The functions are registered by their decorators; scripts call them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Literal
from uuid import UUID

from weelo_lab.seeds.script import Draw, step_kind
from weelo_lab.seeds.stage import CUSTOMERS, FLEETS, KINDS_OF_TRUCKS, OPERATOR, Stage, place
from weelo_workers.contracts.broadcasts import (
    CancelBroadcast,
    CancelByOperator,
    ContinuePartial,
    CreateBooking,
    CreateOrder,
    ExpireByOperator,
    NewBooking,
    NewOrder,
    VehicleRequirement,
    WidenByOperator,
)
from weelo_workers.contracts.fleet import SetAvailability, SetAvailabilityByOperator, SetDriverAvailability
from weelo_workers.contracts.offers import (
    AcceptTrucks,
    ConfirmHold,
    DeclineOffer,
    HoldSlots,
    ReleaseHold,
    SlotsWanted,
)
from weelo_workers.contracts.policies import PausePolicy, PutPolicy
from weelo_workers.contracts.reasons import CustomerReason, ProviderReason
from weelo_workers.contracts.relations import (
    RemoveByCustomer,
    RemoveByOperator,
    RemoveByTransporter,
    SetByCustomer,
    SetByOperator,
    SetByTransporter,
)
from weelo_workers.contracts.statuses import AssignmentStatus, BroadcastKind, EndOutcome, Role
from weelo_workers.contracts.trips import (
    AdvanceTrip,
    CancelTruck,
    DriverAccepts,
    DriverDeclines,
    EndTrip,
    GiveBack,
    ReplaceTruck,
    ReportNoShow,
)
from weelo_workers.lifecycles.assignment import STEPS

WHY = "a step of a script"


def one_of(*values: Any) -> Draw:
    """Return a function that draws one of these values."""
    return lambda dice: dice.choice(values)


def a_fleet(dice: Random) -> int:
    return dice.randrange(len(FLEETS))


def _customer(dice: Random) -> int:
    return dice.randrange(CUSTOMERS)


def newest(_: Random) -> int:
    """Stand for the number of a request, which `drawing` knows."""
    raise NotImplementedError


which = one_of(0, 0, 0, 0, 1, 2)
yes_or_no = one_of(True, False)


# --- customers ----------------------------------------------------------------------------------------------


@step_kind(
    "customer {customer} asks for {trucks} × kind {kind}, {km:g} km north: request {request}",
    3,
    commands=(CreateBooking.name,),
    customer=_customer,
    trucks=one_of(1, 1, 2, 3),
    kind=one_of(0, 0, 0, 1),
    km=one_of(0, 0, 0, 15),
    request=newest,
)
def book(stage: Stage, customer: int, trucks: int, kind: int, km: float, request: int) -> None:
    booking = NewBooking(
        pickup=place(km),
        drop=place(200),
        vehicle_type="open",
        vehicle_subtype=KINDS_OF_TRUCKS[kind],
        trucks_needed=trucks,
    )
    user = stage.customer(customer)
    stage.requests[request] = stage.post(
        CreateBooking(customer_id=user, request=booking), user, Role.CUSTOMER
    )


@step_kind(
    "customer {customer} orders {trucks} × kind 0 and 1 × kind 1: request {request}",
    2,
    commands=(CreateOrder.name,),
    customer=_customer,
    trucks=one_of(1, 2),
    request=newest,
)
def order(stage: Stage, customer: int, trucks: int, request: int) -> None:
    wanted = [
        VehicleRequirement(vehicle_type="open", vehicle_subtype=kind, quantity=count)
        for kind, count in zip(KINDS_OF_TRUCKS, (trucks, 1), strict=True)
    ]
    asked = NewOrder(pickup=place(0), drop=place(200), vehicle_requirements=wanted)
    user = stage.customer(customer)
    stage.requests[request] = stage.post(CreateOrder(customer_id=user, request=asked), user, Role.CUSTOMER)


@step_kind("the customer cancels request {request}", 2, commands=(CancelBroadcast.name,), request=newest)
def cancel(stage: Stage, request: int) -> None:
    if found := stage.broadcast(request):
        command = CancelBroadcast(
            broadcast_id=found.id, customer_id=found.customer_id, kind=BroadcastKind(found.kind)
        )
        stage.post(command, found.customer_id, Role.CUSTOMER)


@step_kind(
    "the customer continues with the trucks of request {request}",
    1,
    commands=(ContinuePartial.name,),
    request=newest,
)
def continue_partial(stage: Stage, request: int) -> None:
    if found := stage.broadcast(request):
        command = ContinuePartial(
            broadcast_id=found.id, customer_id=found.customer_id, kind=BroadcastKind(found.kind)
        )
        stage.post(command, found.customer_id, Role.CUSTOMER)


@step_kind(
    "the customer cancels truck {truck} of request {request}",
    2,
    commands=(CancelTruck.name,),
    request=newest,
    truck=which,
)
def cancel_truck(stage: Stage, request: int, truck: int) -> None:
    found, broadcast = stage.truck(request, truck), stage.broadcast(request)
    if found and broadcast:
        user = broadcast.customer_id
        command = CancelTruck(
            assignment_id=found.id, customer_id=user, reason_code=CustomerReason.PLANS_CHANGED
        )
        stage.post(command, user, Role.CUSTOMER)


# --- transporters -------------------------------------------------------------------------------------------


@step_kind(
    "fleet {fleet} accepts request {request} with {trucks} trucks, all or none: {all}",
    9,
    commands=(AcceptTrucks.name,),
    fleet=a_fleet,
    request=newest,
    trucks=one_of(1, 1, 2),
    all=yes_or_no,
)
def accept(stage: Stage, fleet: int, request: int, trucks: int, all: bool) -> None:  # noqa: A002 (a name in scripts)
    mine, found = stage.fleet(fleet), stage.broadcast(request)
    if found:
        command = AcceptTrucks(
            broadcast_id=found.id,
            transporter_id=mine.id,
            trucks=tuple(mine.trucks[:trucks]),
            partial=not all,
        )
        stage.post(command, mine.id, Role.TRANSPORTER)


@step_kind(
    "fleet {fleet} holds {slots} slots of request {request}",
    3,
    commands=(HoldSlots.name,),
    fleet=a_fleet,
    request=newest,
    slots=one_of(1, 2),
)
def hold(stage: Stage, fleet: int, request: int, slots: int) -> None:
    mine, found = stage.fleet(fleet), stage.broadcast(request)
    if found:
        command = HoldSlots(
            broadcast_id=found.id, transporter_id=mine.id, request=SlotsWanted(quantity=slots)
        )
        stage.post(command, mine.id, Role.TRANSPORTER)


def _hold_of(stage: Stage, request: int, nth: int) -> Any:
    found = stage.broadcast(request)
    query = (
        "SELECT id, transporter_id FROM holds WHERE broadcast_id = :broadcast ORDER BY created_at DESC, id"
    )
    holds = stage.rows(query, broadcast=found.id) if found else []
    return holds[nth % len(holds)] if holds else None


@step_kind(
    "the fleet of hold {nth} of request {request} confirms it with {trucks} trucks",
    3,
    commands=(ConfirmHold.name,),
    request=newest,
    nth=which,
    trucks=one_of(1, 1, 2),
)
def confirm_hold(stage: Stage, request: int, nth: int, trucks: int) -> None:
    if found := _hold_of(stage, request, nth):
        mine = next(each for each in stage.fleets if each.id == found.transporter_id)
        command = ConfirmHold(hold_id=found.id, transporter_id=mine.id, trucks=tuple(mine.trucks[:trucks]))
        stage.post(command, mine.id, Role.TRANSPORTER)


@step_kind(
    "the fleet of hold {nth} of request {request} releases it",
    1,
    commands=(ReleaseHold.name,),
    request=newest,
    nth=which,
)
def release_hold(stage: Stage, request: int, nth: int) -> None:
    if found := _hold_of(stage, request, nth):
        command = ReleaseHold(hold_id=found.id, transporter_id=found.transporter_id)
        stage.post(command, found.transporter_id, Role.TRANSPORTER)


@step_kind(
    "fleet {fleet} declines request {request}",
    1,
    commands=(DeclineOffer.name,),
    fleet=a_fleet,
    request=newest,
)
def decline(stage: Stage, fleet: int, request: int) -> None:
    mine, found = stage.fleet(fleet), stage.broadcast(request)
    if found:
        command = DeclineOffer(
            broadcast_id=found.id, transporter_id=mine.id, reason_code=ProviderReason.OTHER
        )
        stage.post(command, mine.id, Role.TRANSPORTER)


@step_kind(
    "the {by} of truck {truck} of request {request} gives it back",
    4,
    commands=(GiveBack.name,),
    request=newest,
    truck=which,
    by=one_of("driver", "transporter"),
)
def give_back(stage: Stage, request: int, truck: int, by: Literal["driver", "transporter"]) -> None:
    if found := stage.truck(request, truck):
        role = Role(by)
        user = found.driver_id if role is Role.DRIVER else found.transporter_id
        command = GiveBack(
            assignment_id=found.id, user_id=user, role=role, reason_code=ProviderReason.BREAKDOWN
        )
        stage.post(command, user, role)


@step_kind(
    "the fleet of truck {truck} of request {request} replaces its {what} by that of its truck {other}",
    4,
    commands=(ReplaceTruck.name,),
    request=newest,
    truck=which,
    what=one_of("driver", "vehicle", "driver and vehicle"),
    other=one_of(0, 1),
)
def replace(stage: Stage, request: int, truck: int, what: str, other: int) -> None:
    if found := stage.truck(request, truck):
        mine = next(each for each in stage.fleets if each.id == found.transporter_id)
        chosen = mine.trucks[other % len(mine.trucks)]
        command = ReplaceTruck(
            assignment_id=found.id,
            transporter_id=mine.id,
            driver_id=chosen.driver_id if "driver" in what else None,
            vehicle_id=chosen.vehicle_id if "vehicle" in what else None,
        )
        stage.post(command, mine.id, Role.TRANSPORTER)


@step_kind(
    "fleet {fleet} goes online: {online}",
    2,
    commands=(SetAvailability.name,),
    fleet=a_fleet,
    online=yes_or_no,
)
def go_online(stage: Stage, fleet: int, online: bool) -> None:
    mine = stage.fleet(fleet)
    stage.post(SetAvailability(transporter_id=mine.id, is_available=online), mine.id, Role.TRANSPORTER)


@step_kind("fleet {fleet} has its app open: {open}", 1, fleet=a_fleet, open=yes_or_no)
def open_app(stage: Stage, fleet: int, open: bool) -> None:  # noqa: A002 (a name in scripts)
    stage.fleet(fleet).is_open = open
    stage.heartbeats()


@step_kind("fleet {fleet} drives to {km:g} km north", 1, fleet=a_fleet, km=one_of(0, 1, 12, 30, 60))
def drive(stage: Stage, fleet: int, km: float) -> None:
    stage.fleet(fleet).km_north = km
    stage.heartbeats()


# --- drivers ------------------------------------------------------------------------------------------------


@step_kind(
    "the driver of truck {truck} of request {request} accepts",
    8,
    commands=(DriverAccepts.name,),
    request=newest,
    truck=which,
)
def driver_accepts(stage: Stage, request: int, truck: int) -> None:
    if found := stage.truck(request, truck, first="pending"):
        command = DriverAccepts(assignment_id=found.id, driver_id=found.driver_id)
        stage.post(command, found.driver_id, Role.DRIVER)


@step_kind(
    "the driver of truck {truck} of request {request} declines",
    2,
    commands=(DriverDeclines.name,),
    request=newest,
    truck=which,
)
def driver_declines(stage: Stage, request: int, truck: int) -> None:
    if found := stage.truck(request, truck, first="pending"):
        command = DriverDeclines(assignment_id=found.id, driver_id=found.driver_id)
        stage.post(command, found.driver_id, Role.DRIVER)


@step_kind(
    "a replaced driver of truck {truck} of request {request} accepts",
    1,
    request=newest,
    truck=which,
)
def replaced_driver_accepts(stage: Stage, request: int, truck: int) -> None:
    found = stage.truck(request, truck)
    if found and found.replaced_drivers:
        driver_id = UUID(found.replaced_drivers[-1])
        stage.post(DriverAccepts(assignment_id=found.id, driver_id=driver_id), driver_id, Role.DRIVER)


@step_kind(
    "the driver of truck {truck} of request {request} reports the status {status}",
    6,
    commands=(AdvanceTrip.name,),
    request=newest,
    truck=which,
    status=one_of(*["next"] * 6, *STEPS),
)
def report(stage: Stage, request: int, truck: int, status: str) -> None:
    if found := stage.truck(request, truck):
        command = AdvanceTrip(
            trip_id=found.trip_id, driver_id=found.driver_id, status=_status(status, found.status)
        )
        stage.post(command, found.driver_id, Role.DRIVER)


def _status(wanted: str, now: str) -> AssignmentStatus:
    """Return the status with this name; `next`: the one that follows the present one."""
    if wanted != "next":
        return AssignmentStatus(wanted)
    steps: Sequence[AssignmentStatus] = STEPS
    return steps[min(steps.index(AssignmentStatus(now)) + 1, len(steps) - 1)] if now in steps else steps[0]


@step_kind(
    "the driver of truck {truck} of request {request} reports that the customer did not come",
    1,
    commands=(ReportNoShow.name,),
    request=newest,
    truck=which,
)
def report_no_show(stage: Stage, request: int, truck: int) -> None:
    if found := stage.truck(request, truck, first="at_pickup"):
        stage.post(
            ReportNoShow(assignment_id=found.id, driver_id=found.driver_id), found.driver_id, Role.DRIVER
        )


@step_kind(
    "driver {driver} of fleet {fleet} is on duty: {on}",
    1,
    commands=(SetDriverAvailability.name,),
    fleet=a_fleet,
    driver=one_of(0, 1),
    on=yes_or_no,
)
def go_on_duty(stage: Stage, fleet: int, driver: int, on: bool) -> None:
    trucks = stage.fleet(fleet).trucks
    driver_id = trucks[driver % len(trucks)].driver_id
    stage.post(SetDriverAvailability(driver_id=driver_id, is_available=on), driver_id, Role.DRIVER)


# --- operators, and both sides of a pair --------------------------------------------------------------------


@step_kind(
    "an operator lets request {request} {what}",
    2,
    commands=(CancelByOperator.name, ExpireByOperator.name, WidenByOperator.name),
    request=newest,
    what=one_of("be cancelled", "expire", "widen"),
)
def operate(stage: Stage, request: int, what: str) -> None:
    found = stage.broadcast(request)
    if found is None:
        return
    if what == "widen":
        step = found.radius_step + 1
        command: CancelByOperator | ExpireByOperator | WidenByOperator = WidenByOperator(
            broadcast_id=found.id, reason=WHY, step=step, round=found.reoffer_rounds
        )
    else:
        chosen = CancelByOperator if what == "be cancelled" else ExpireByOperator
        command = chosen(broadcast_id=found.id, reason=WHY)
    stage.post(command, OPERATOR, Role.ADMIN)


@step_kind(
    "an operator ends truck {truck} of request {request} as {outcome}",
    1,
    commands=(EndTrip.name,),
    request=newest,
    truck=which,
    outcome=one_of("completed", "failed"),
)
def end_trip(stage: Stage, request: int, truck: int, outcome: str) -> None:
    if found := stage.truck(request, truck):
        command = EndTrip(
            assignment_id=found.id,
            outcome=EndOutcome(outcome),
            reason_code=ProviderReason.OTHER,
            note=WHY,
        )
        stage.post(command, OPERATOR, Role.ADMIN)


@step_kind(
    "an operator puts fleet {fleet} online: {online}",
    1,
    commands=(SetAvailabilityByOperator.name,),
    fleet=a_fleet,
    online=yes_or_no,
)
def put_online(stage: Stage, fleet: int, online: bool) -> None:
    mine = stage.fleet(fleet)
    command = SetAvailabilityByOperator(
        transporter_id=mine.id, is_available=online, reason=WHY, is_connected=mine.is_open
    )
    stage.post(command, OPERATOR, Role.ADMIN)


@step_kind(
    "the {by} of customer {customer} and fleet {fleet}: {what}",
    2,
    commands=(
        *(SetByCustomer.name, SetByTransporter.name, SetByOperator.name),
        *(RemoveByCustomer.name, RemoveByTransporter.name, RemoveByOperator.name),
    ),
    by=one_of("customer", "transporter", "operator"),
    customer=_customer,
    fleet=a_fleet,
    what=one_of("set", "set", "removed"),
)
def relate(stage: Stage, by: str, customer: int, fleet: int, what: str) -> None:
    user, mine = stage.customer(customer), stage.fleet(fleet).id
    removes = what == "removed"
    if by == "customer":
        stage.post(
            RemoveByCustomer(customer_id=user, transporter_id=mine)
            if removes
            else SetByCustomer(customer_id=user, transporter_id=mine, relation="blocked"),
            user,
            Role.CUSTOMER,
        )
    elif by == "transporter":
        stage.post(
            RemoveByTransporter(transporter_id=mine, customer_id=user)
            if removes
            else SetByTransporter(transporter_id=mine, customer_id=user, relation="blocked"),
            mine,
            Role.TRANSPORTER,
        )
    else:
        stage.post(
            RemoveByOperator(customer_id=user, transporter_id=mine, reason=WHY)
            if removes
            else SetByOperator(customer_id=user, transporter_id=mine, relation="contracted", reason=WHY),
            OPERATOR,
            Role.ADMIN,
        )


POLICIES: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "one ring": {"radiusStepsKm": [75]},
    "slow rings": {"radiusStepsKm": [5, 10, 25], "radiusStepSeconds": 40},
    "short": {"broadcastTimeoutSeconds": 45, "driverAcceptSeconds": 20, "holdSeconds": 20},
    "few offers": {"maxOffersPerStep": 1, "minOffersPerStep": 1, "maxOpenOffers": 1},
    "contracts first": {"contractedFirstSeconds": 30},
}


@step_kind(
    "an operator sets the policy: {policy}",
    1,
    commands=(PutPolicy.name,),
    policy=one_of(*POLICIES),
)
def put_policy(stage: Stage, policy: str) -> None:
    command = PutPolicy(scope="default", settings=POLICIES[policy], reason=WHY)
    stage.post(command, OPERATOR, Role.ADMIN)


@step_kind(
    "an operator pauses new requests: {paused}",
    1,
    commands=(PausePolicy.name,),
    paused=one_of(True, False, False),
)
def pause(stage: Stage, paused: bool) -> None:
    stage.post(PausePolicy(scope="default", paused=paused, reason=WHY), OPERATOR, Role.ADMIN)


@step_kind("the command that was sent last but {nth} is sent again", 2, nth=which)
def send_again(stage: Stage, nth: int) -> None:
    if stage.posted:
        chosen = stage.posted[-1 - nth % len(stage.posted)]
        stage.lab.post(chosen.command, chosen.caller, again=chosen.id)
