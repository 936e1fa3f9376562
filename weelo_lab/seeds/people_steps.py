"""The steps of customers and transporters: each sends a command as an app or the console does.

The functions are registered by their decorators; scripts call them by name.
"""

from __future__ import annotations

from typing import Any, Literal

from weelo_lab.seeds.script import step_kind
from weelo_lab.seeds.stage import KINDS_OF_TRUCKS, Stage, place
from weelo_lab.seeds.values import a_customer, a_fleet, newest, one_of, which, yes_or_no
from weelo_workers.contracts.broadcasts import (
    CancelBroadcast,
    ContinuePartial,
    CreateBooking,
    CreateOrder,
    NewBooking,
    NewOrder,
    VehicleRequirement,
)
from weelo_workers.contracts.fleet import SetAvailability
from weelo_workers.contracts.offers import (
    AcceptTrucks,
    ConfirmHold,
    DeclineOffer,
    HoldSlots,
    ReleaseHold,
    SlotsWanted,
)
from weelo_workers.contracts.reasons import CustomerReason, ProviderReason
from weelo_workers.contracts.statuses import BroadcastKind, Role
from weelo_workers.contracts.trips import (
    CancelTruck,
    GiveBack,
    ReplaceTruck,
)

# --- customers ----------------------------------------------------------------------------------------------


@step_kind(
    "customer {customer} asks for {trucks} × kind {kind}, {km:g} km north: request {request}",
    3,
    commands=(CreateBooking.name,),
    customer=a_customer,
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
    customer=a_customer,
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
