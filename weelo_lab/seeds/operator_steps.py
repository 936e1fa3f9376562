"""The steps of operators, and of both sides of a pair: each sends a command as an app or the console does.

The functions are registered by their decorators; scripts call them by name.
"""

from __future__ import annotations

from typing import Any

from weelo_lab.seeds.script import step_kind
from weelo_lab.seeds.stage import OPERATOR, Stage
from weelo_lab.seeds.values import WHY, a_customer, a_fleet, newest, one_of, which, yes_or_no
from weelo_workers.contracts.broadcasts import (
    CancelByOperator,
    ExpireByOperator,
    WidenByOperator,
)
from weelo_workers.contracts.fleet import SetAvailabilityByOperator
from weelo_workers.contracts.policies import PausePolicy, PutPolicy
from weelo_workers.contracts.reasons import ProviderReason
from weelo_workers.contracts.relations import (
    RemoveByCustomer,
    RemoveByOperator,
    RemoveByTransporter,
    SetByCustomer,
    SetByOperator,
    SetByTransporter,
)
from weelo_workers.contracts.statuses import EndOutcome, Role
from weelo_workers.contracts.trips import (
    EndTrip,
)


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
    customer=a_customer,
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
