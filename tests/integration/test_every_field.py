"""Every field that a client may send arrives: in the command, in a row, and in a view or an event.

A field of a booking or an order must be in both the view and the offer, the event `new_broadcast`.

For each route a request is sent with a distinct value in every field. Then each value is searched for, under the field's
name, in each place. A field that is validated and then dropped is missing in one of them, and the failure names the place.
A new field of a request model is filled in and checked automatically; a new route needs a scenario here.
"""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy import select

from tests.support.relations import new_customer
from tests.support.sources import import_all_contracts, is_of_the_sandbox, name_of, python_files
from tests.support.tokens import token
from tests.support.world import World
from weelo_api import create_app
from weelo_api.telemetry import transporter_heartbeat
from weelo_api.websocket import messages
from weelo_workers import presence
from weelo_workers.contracts.admin import AvailabilityIntervention, Intervention
from weelo_workers.contracts.broadcasts import Cancellation, NewBooking, NewOrder
from weelo_workers.contracts.fleet import (
    Availability,
    DeviceDetails,
    DriverDetails,
    Heartbeat,
    VehicleDetails,
)
from weelo_workers.contracts.offers import Acceptance, Confirmation, OneTruck, Refusal, SlotsWanted
from weelo_workers.contracts.policies import (
    NewPolicyVersion,
    PolicyDraft,
    PolicyPause,
    PolicySettings,
    PreviewedPolicy,
)
from weelo_workers.contracts.reasons import CustomerReason, ProviderReason
from weelo_workers.contracts.relations import Contract, CustomersRelation, TransportersRelation
from weelo_workers.contracts.statuses import EndOutcome, Role
from weelo_workers.contracts.trips import (
    DriverRefusal,
    Ending,
    GivingBack,
    NoShowReport,
    Replacement,
    TripLocation,
    TripStep,
    TruckCancellation,
    Waypoint,
)
from weelo_workers.contracts.webhooks import CreateWebhook, NewWebhook, ResendRange, WebhookChanges
from weelo_workers.contracts.wire import Request, rfc3339
from weelo_workers.models import Base
from weelo_workers.notifications import live_stream
from weelo_workers.redis_client import redis

import_all_contracts()

COMMAND, ROWS, VIEWS, OFFER = "the command's payload", "the rows", "the views and events", "new_broadcast"
NO_COMMAND = dict.fromkeys(
    (COMMAND, ROWS), "telemetry is no command, and its positions are written to no table"
)

# Fields that need not be found in a place, with the reason. A field that is found there must be removed from this list.
MAY_BE_MISSING: dict[str, dict[str, str]] = {
    "DriverDetails.licenseNumber": {VIEWS: "kept for operators; CONTRACT section 3 shows no Driver with it"},
    **{
        f"{model}.notes": {OFFER: "long text; GET /offers and GET /broadcasts/{id} have it"}
        for model in ("NewBooking", "NewOrder")
    },
    **{
        f"{model}.relation": {
            ROWS: "each relation has a column of its own, with the time since when it is set"
        }
        for model in ("CustomersRelation", "TransportersRelation")
    },
    **{f"Heartbeat.{name}": NO_COMMAND for name in ("latitude", "longitude")},
    **{
        f"TripLocation.{name}": NO_COMMAND
        for name in ("latitude", "longitude", "speed", "bearing", "recordedAt")
    },
}
# For each of these fields, the other names under which its value is stored or shown.
OTHER_NAMES: dict[str, set[str]] = {
    **{f"{model}.reason": {"note"} for model in ("Cancellation", "DriverRefusal", "Intervention")},
    "Ending.outcome": {"status"},
    "Refusal.reason": {"decline_note", "note"},
    "Refusal.reasonCode": {"decline_reason_code"},
    "VehicleRequirement.quantity": {"count", "trucks_needed", "trucksNeeded"},
    "TripLocation.recordedAt": {"recordedAt"},
    **{f"ResendRange.{name}": {"seq"} for name in ("fromSeq", "toSeq")},
}
# Request models that no route has as its body.
NO_BODIES: dict[type[Request], str] = {
    **dict.fromkeys(get_args(messages.Op), "sent over the socket; tests/sockets test each of them"),
    Waypoint: "a view",
}
# Columns with a copy of the whole request. They contain every field, even a field that is not used.
COPIES = {("broadcasts", "request")}
# Tables that are not searched. `mailbox` contains the request itself and `replays` its id, so a value there would not
# show that the command used it. The other three contain events, which are searched separately.
NOT_ROWS = {"mailbox", "replays", "events", "log_lines", "log_heads"}

FIXED: dict[str, Any] = {
    "vehicleType": "open",
    "vehicleSubtype": "19 Feet",
    "quantity": 3,
    "phone": "+91 98100 00017",
    "recordedAt": "2026-02-19T10:00:00.250Z",
    "occurredAt": "2026-02-19T09:30:00.750Z",
    "url": "http://127.0.0.1:9/no-server",
    "events": ["truck_lost"],
}

A_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:")

_numbers = itertools.count(3)


# --- values ---------------------------------------------------------------------------------------------


def filled_in(model: type[BaseModel], **given: Any) -> dict[str, Any]:
    """Return a body with every field of the model. `given`: fixed values by field name; None leaves the field out."""
    names = {name: field.alias or name for name, field in model.model_fields.items()}
    unknown = set(given) - set(names.values())
    assert not unknown, f"{model.__name__} has no {unknown}"
    return {
        alias: given[alias] if alias in given else _value(model, name, alias)
        for name, alias in names.items()
        if given.get(alias, ...) is not None
    }


def _value(model: type[BaseModel], name: str, alias: str) -> Any:
    """Return a value for the field, different from those of all other fields if its type has enough values."""
    if alias in FIXED:
        return FIXED[alias]
    field = model.model_fields[name]
    kind = _core(field.annotation)
    number = next(_numbers)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return filled_in(kind)
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        return [filled_in(item)]
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return next(iter(kind)).value
    of_kind: dict[Any, Any] = {
        str: f"{alias} {number}",
        int: int(_within_limits(model, alias, number)),
        float: _within_limits(model, alias, number + 0.25),
        bool: field.default is not True,
        UUID: str(uuid4()),
        datetime: datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    assert kind in of_kind, f"add a value for {model.__name__}.{alias} to FIXED"
    return of_kind[kind]


def _within_limits(model: type[BaseModel], alias: str, number: float) -> float:
    """Return the number, or another one if the field's `ge` and `le` forbid it."""
    schema = model.model_json_schema()["properties"][alias]
    number_schema = schema.get("anyOf", [schema])[0]
    least, most = number_schema.get("minimum", 0), number_schema.get("maximum", math.inf)
    return number if least <= number <= most else least + number % (most - least)


def _core(annotation: Any) -> Any:
    """Return the type without `None` and without its constraints."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    return annotation


def leaves(model: type[BaseModel], body: Any, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (`NewBooking.pickup.latitude`, `Place.latitude`, value) for each value in a body."""
    for name, field in model.model_fields.items():
        alias = field.alias or name
        if alias not in body:
            continue
        path, value, kind = f"{prefix or model.__name__}.{alias}", body[alias], _core(field.annotation)
        item = get_args(kind)[0] if get_origin(kind) is list else kind
        if isinstance(item, type) and issubclass(item, BaseModel):
            for each in value if isinstance(value, list) else [value]:
                yield from leaves(item, each, path)
        else:
            yield path, f"{model.__name__}.{alias}", value


# --- places ---------------------------------------------------------------------------------------------

Pairs = Counter[tuple[str, str]]


def pairs(tree: Any) -> Iterator[tuple[str, str]]:
    """Yield every (name, value) in nested data."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if not isinstance(value, dict | list) or _is_list_of_values(value):
                yield name, _text(value)
            yield from pairs(value)
    elif isinstance(tree, list | tuple):
        for each in tree:
            yield from pairs(each)


def _is_list_of_values(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(each, dict | list) for each in value)


def _text(value: Any) -> str:
    if isinstance(value, str) and A_TIME.match(value):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    return str(float(value)) if isinstance(value, int) and not isinstance(value, bool) else str(value)


class Probe:
    """Sends requests and records in which places each of their values was found."""

    def __init__(self, world: World, app: FlaskClient) -> None:
        self.world = world
        self.missing: dict[str, set[str]] = {}
        self.fields: set[str] = set()
        self.proved: set[str] = set()
        self._app = app

    def ask(self, role: Role, who: UUID, request: str, body: Any = None) -> Any:
        method, _, path = request.partition(" ")
        headers = {"Authorization": f"Bearer {token(role, who)}"}
        options = {} if body is None else {"json": body}
        answer = self._app.open(f"/api/v1{path}", method=method, headers=headers, **options)
        assert answer.status_code in (200, 202, 204), f"{request}: {answer.text}"
        return answer.get_json()

    def send(
        self,
        model: type[Request],
        body: dict[str, Any],
        role: Role,
        who: UUID,
        request: str,
        reads: Callable[[Any], list[Any]] = lambda _: [],
        offered_to: UUID | None = None,
    ) -> Any:
        """Send the request, execute it, and search for each value.

        `reads`: returns more data to search. `offered_to`: the transporter whose offers must contain each value.
        """
        before = self._rows(), Counter(pairs(self._told()))
        accepted = self.ask(role, who, request, body)
        payload: Any = None
        result: Any = None
        if accepted is not None:
            command = UUID(accepted["commandId"])
            self.world.bus.execute(command)
            outcome = self.world.outcome(command, who)
            failure = self.world.value("SELECT last_error FROM mailbox WHERE id = :id", id=command)
            assert outcome.status == "succeeded", f"{request}: {outcome.error or failure}"
            payload = self.world.value("SELECT payload FROM mailbox WHERE id = :id", id=command)
            result = outcome.result
            self.world.drain()
        seen: dict[str, Pairs] = {
            COMMAND: Counter(pairs(payload)),
            ROWS: self._rows() - before[0],
            VIEWS: Counter(pairs(result)) + Counter(pairs(reads(result))),
        }
        if offered_to is None:
            seen[VIEWS] += Counter(pairs(self._told())) - before[1]
        else:
            # Events are not added to the views here. Otherwise a field that only the offer contains would count as
            # found in a view.
            offers = self.world.events_of(offered_to, "new_broadcast")
            failures = self.world.rows("SELECT name, last_error FROM mailbox WHERE last_error IS NOT NULL")
            assert offers, f"{request}: the fleet nearby was offered nothing {failures}"
            seen[OFFER] = Counter(pairs(offers))
        for path, own, value in leaves(model, body):
            self.fields.add(own)
            names = {path.rpartition(".")[2], *_snake(path), *OTHER_NAMES.get(own, ())}
            absent = {
                place for place, found in seen.items() if not any(found[name, _text(value)] for name in names)
            }
            self.missing[path] = self.missing.get(path, absent) & absent
        return result

    def proves(self, path: str, fact: bool) -> None:
        """Assert and record that a field had an effect. Used for fields whose value is not stored."""
        assert fact, f"{path} has no effect"
        self.proved.add(path)

    def _rows(self) -> Pairs:
        found: Pairs = Counter()
        with self.world.engine.connect() as connection:
            for table in Base.metadata.sorted_tables:
                if table.name in NOT_ROWS:
                    continue
                columns = [column for column in table.columns if (table.name, column.name) not in COPIES]
                for row in connection.execute(select(*columns)).mappings():
                    found.update(pairs(dict(row)))
        return found

    def _told(self) -> list[Any]:
        """Return the data of all events of all users."""
        lines = self.world.rows("SELECT e.data, l.own FROM log_lines l JOIN events e ON e.id = l.event_id")
        return [[line.data, line.own] for line in lines]


def _snake(path: str) -> set[str]:
    name = path.rpartition(".")[2]
    return {"".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)}


# --- scenarios: one per route that takes a body ---------------------------------------------------------


def create_booking(probe: Probe) -> None:
    who = uuid4()
    body = filled_in(NewBooking)
    fleet = _fleet_at(probe, body["pickup"])
    probe.send(NewBooking, body, Role.CUSTOMER, who, "POST /bookings", offered_to=fleet)


def create_order(probe: Probe) -> None:
    who = uuid4()
    body = filled_in(NewOrder)
    [row] = body["vehicleRequirements"]
    fleet = _fleet_at(probe, body["pickup"])
    probe.send(NewOrder, body, Role.CUSTOMER, who, "POST /orders", offered_to=fleet)
    slots = probe.world.value("SELECT count(*) FROM truck_requests")
    probe.proves("NewOrder.vehicleRequirements.quantity", slots == row["quantity"])


def _fleet_at(probe: Probe, place: dict[str, Any]) -> UUID:
    """Return a transporter who is online at this place with a truck of the kind in FIXED."""
    fleet = probe.world.fleet(kind=FIXED["vehicleSubtype"])
    transporter_heartbeat(fleet.id, place["latitude"], place["longitude"])
    return fleet.id


def _timeline(probe: Probe, broadcast: Any) -> list[Any]:
    return [probe.ask(Role.ADMIN, uuid4(), f"GET /broadcasts/{broadcast}/timeline")]


def _reads_timeline(probe: Probe, broadcast: Any) -> Callable[[Any], list[Any]]:
    return lambda _: _timeline(probe, broadcast)


def cancel_booking(probe: Probe) -> None:
    broadcast = probe.world.broadcast()
    probe.send(
        Cancellation,
        filled_in(Cancellation),
        Role.CUSTOMER,
        probe.world.customer_of(broadcast),
        f"PUT /bookings/{broadcast}/cancel",
        _reads_timeline(probe, broadcast),
    )


def _order(probe: Probe, kinds: tuple[str, ...] = ("17 Feet", "19 Feet"), quantity: int = 2) -> UUID:
    """Place an order of `quantity` trucks of each kind, and return its id."""
    who = uuid4()
    booking = probe.world.booking(who)
    rows = [{"vehicleType": "open", "vehicleSubtype": kind, "quantity": quantity} for kind in kinds]
    body = {
        "pickup": booking.request.pickup.json_dict(),
        "drop": booking.request.drop.json_dict(),
        "vehicleRequirements": rows,
    }
    command = UUID(probe.ask(Role.CUSTOMER, who, "POST /orders", body)["commandId"])
    probe.world.drain()
    return UUID(probe.world.outcome(command, who).result["id"])


def cancel_order(probe: Probe) -> None:
    broadcast = _order(probe)
    probe.send(
        Cancellation,
        filled_in(Cancellation),
        Role.CUSTOMER,
        probe.world.customer_of(broadcast),
        f"PUT /orders/{broadcast}/cancel",
        _reads_timeline(probe, broadcast),
    )


def accept(probe: Probe) -> None:
    fleet = probe.world.fleet(trucks=4)
    first, second, third, fourth = fleet.trucks
    one, several = probe.world.broadcast(), probe.world.broadcast(2)
    body = filled_in(
        Acceptance,
        vehicleId=str(first.vehicle_id),
        driverId=str(first.driver_id),
        trucks=None,
        partial=None,
    )
    probe.send(Acceptance, body, Role.TRANSPORTER, fleet.id, f"POST /broadcasts/{one}/accept")
    slots = probe.world.rows(
        "SELECT id FROM truck_requests WHERE broadcast_id = :id ORDER BY request_number", id=several
    )
    # The fleet offers three trucks for two slots. The first truck names the second slot, so one slot is left for the
    # other two.
    trucks = [
        {
            "vehicleId": str(second.vehicle_id),
            "driverId": str(second.driver_id),
            "truckRequestId": str(slots[1].id),
        },
        {"vehicleId": str(third.vehicle_id), "driverId": str(third.driver_id)},
        {"vehicleId": str(fourth.vehicle_id), "driverId": str(fourth.driver_id)},
    ]
    body = filled_in(Acceptance, vehicleId=None, driverId=None, trucks=trucks[:1], partial=None)
    probe.send(Acceptance, body, Role.TRANSPORTER, fleet.id, f"POST /broadcasts/{several}/accept")
    body = filled_in(Acceptance, vehicleId=None, driverId=None, trucks=trucks[1:])
    result = probe.send(Acceptance, body, Role.TRANSPORTER, fleet.id, f"POST /broadcasts/{several}/accept")
    probe.proves("Acceptance.partial", body["partial"] and len(result["assignments"]) == 1)


def accept_slot(probe: Probe) -> None:
    fleet = probe.world.fleet()
    slot = probe.world.value(
        "SELECT id FROM truck_requests WHERE broadcast_id = :id", id=probe.world.broadcast()
    )
    [truck] = fleet.trucks
    body = filled_in(OneTruck, vehicleId=str(truck.vehicle_id), driverId=str(truck.driver_id))
    probe.send(OneTruck, body, Role.TRANSPORTER, fleet.id, f"POST /truck-requests/{slot}/accept")


def decline(probe: Probe) -> None:
    fleet = probe.world.fleet()
    broadcast = probe.world.broadcast()
    probe.send(
        Refusal,
        filled_in(Refusal),
        Role.TRANSPORTER,
        fleet.id,
        f"POST /broadcasts/{broadcast}/decline",
        lambda _: [
            *_timeline(probe, broadcast),
            probe.ask(Role.ADMIN, uuid4(), f"GET /broadcasts/{broadcast}/offers/{fleet.id}"),
        ],
    )


def hold(probe: Probe) -> None:
    fleet = probe.world.fleet(trucks=3, kind="19 Feet")
    broadcast = _order(probe, quantity=3)
    body = filled_in(SlotsWanted, quantity=2)
    result = probe.send(SlotsWanted, body, Role.TRANSPORTER, fleet.id, f"POST /broadcasts/{broadcast}/hold")
    probe.proves("SlotsWanted.quantity", len(result["truckRequestIds"]) == 2)
    kinds = probe.world.rows(
        "SELECT DISTINCT vehicle_type, vehicle_subtype FROM truck_requests WHERE hold_id IS NOT NULL"
    )
    wanted = [(body["vehicleType"], body["vehicleSubtype"])]
    for name in ("vehicleType", "vehicleSubtype"):
        probe.proves(f"SlotsWanted.{name}", [tuple(kind) for kind in kinds] == wanted)


def confirm(probe: Probe) -> None:
    fleet = probe.world.fleet()
    broadcast = probe.world.broadcast()
    held = probe.world.hold(fleet, broadcast).result["holdId"]
    [truck] = fleet.trucks
    trucks = [filled_in(OneTruck, vehicleId=str(truck.vehicle_id), driverId=str(truck.driver_id))]
    body = filled_in(Confirmation, assignments=trucks)
    probe.send(Confirmation, body, Role.TRANSPORTER, fleet.id, f"POST /holds/{held}/confirm")


def transporter_availability(probe: Probe) -> None:
    who = uuid4()
    body = filled_in(Availability, isAvailable=True)
    probe.send(Availability, body, Role.TRANSPORTER, who, "PUT /transporter/availability")


def driver_availability(probe: Probe) -> None:
    [truck] = probe.world.fleet().trucks
    body = filled_in(Availability, isAvailable=False)
    probe.send(Availability, body, Role.DRIVER, truck.driver_id, "PUT /driver/availability")


def register_vehicle(probe: Probe) -> None:
    who = uuid4()
    body = filled_in(VehicleDetails)
    probe.send(VehicleDetails, body, Role.TRANSPORTER, who, "PUT /vehicles/HR55A1234")


def register_driver(probe: Probe) -> None:
    who = uuid4()
    body = filled_in(DriverDetails)
    probe.send(DriverDetails, body, Role.TRANSPORTER, who, f"PUT /drivers/{uuid4()}")


def register_device(probe: Probe) -> None:
    probe.send(DeviceDetails, filled_in(DeviceDetails), Role.CUSTOMER, uuid4(), "PUT /devices/a-token-of-fcm")


def customers_relation(probe: Probe) -> None:
    fleet, who = probe.world.fleet(online=False), uuid4()
    body = filled_in(CustomersRelation, relation="preferred")
    probe.send(CustomersRelation, body, Role.CUSTOMER, who, f"PUT /relations/transporters/{fleet.id}")


def transporters_relation(probe: Probe) -> None:
    fleet, customer = probe.world.fleet(online=False), new_customer(probe.world)
    body = filled_in(TransportersRelation, relation="blocked")
    probe.send(TransportersRelation, body, Role.TRANSPORTER, fleet.id, f"PUT /relations/customers/{customer}")


def contract(probe: Probe) -> None:
    fleet, customer = probe.world.fleet(online=False), new_customer(probe.world)
    probe.send(
        Contract,
        filled_in(Contract, relation="contracted"),
        Role.ADMIN,
        uuid4(),
        f"PUT /admin/customers/{customer}/transporters/{fleet.id}",
        _audit(probe, fleet.id),
    )


def create_webhook(probe: Probe) -> None:
    probe.send(NewWebhook, filled_in(NewWebhook), Role.CUSTOMER, uuid4(), "POST /webhooks")


def update_webhook(probe: Probe) -> None:
    who = uuid4()
    webhook = _webhook(probe, who)
    body = filled_in(WebhookChanges, isActive=False)
    probe.send(WebhookChanges, body, Role.CUSTOMER, who, f"PUT /webhooks/{webhook}")


def resend_to_webhook(probe: Probe) -> None:
    who = uuid4()
    webhook = _webhook(probe, who)
    body = filled_in(ResendRange, fromSeq=1, toSeq=1)
    probe.send(ResendRange, body, Role.CUSTOMER, who, f"POST /webhooks/{webhook}/resend")


def _webhook(probe: Probe, who: UUID) -> str:
    details = NewWebhook(url="http://127.0.0.1:9/another", events=("*",))
    made = probe.world.execute(CreateWebhook(user_id=who, details=details), who, Role.CUSTOMER)
    return str(made.result["id"])


def driver_decline(probe: Probe) -> None:
    fleet = probe.world.fleet()
    broadcast = probe.world.broadcast()
    probe.world.accept(fleet, broadcast)
    [assignment] = probe.world.assignments(broadcast)
    probe.send(
        DriverRefusal,
        filled_in(DriverRefusal),
        Role.DRIVER,
        assignment.driver_id,
        f"POST /assignments/{assignment.id}/decline",
        _reads_timeline(probe, broadcast),
    )


def give_back(probe: Probe) -> None:
    for role in (Role.DRIVER, Role.TRANSPORTER):
        broadcast = probe.world.on_the_way()
        [assignment] = probe.world.assignments(broadcast)
        probe.send(
            GivingBack,
            filled_in(GivingBack),
            role,
            assignment.driver_id if role is Role.DRIVER else assignment.transporter_id,
            f"POST /assignments/{assignment.id}/give-back",
            _reads_timeline(probe, broadcast),
        )


def replace(probe: Probe) -> None:
    fleet = probe.world.fleet(trucks=2)
    broadcast = probe.world.broadcast()
    probe.world.accept(fleet, broadcast, fleet.trucks[:1])
    [assignment] = probe.world.assignments(broadcast)
    other = fleet.trucks[1]
    body = filled_in(Replacement, driverId=str(other.driver_id), vehicleId=str(other.vehicle_id))
    probe.send(
        Replacement,
        body,
        Role.TRANSPORTER,
        fleet.id,
        f"POST /assignments/{assignment.id}/replace",
        _reads_timeline(probe, broadcast),
    )


def report_no_show(probe: Probe) -> None:
    broadcast = probe.world.on_the_way()
    [assignment] = probe.world.assignments(broadcast)
    probe.world.report(assignment, "at_pickup")
    probe.world.tick(1801)
    probe.send(
        NoShowReport,
        filled_in(NoShowReport),
        Role.DRIVER,
        assignment.driver_id,
        f"POST /assignments/{assignment.id}/no-show",
        _reads_timeline(probe, broadcast),
    )


def cancel_truck(probe: Probe) -> None:
    broadcast = probe.world.on_the_way(2)
    [assignment, _] = probe.world.assignments(broadcast)
    probe.send(
        TruckCancellation,
        filled_in(TruckCancellation),
        Role.CUSTOMER,
        probe.world.customer_of(broadcast),
        f"POST /assignments/{assignment.id}/cancel",
        _reads_timeline(probe, broadcast),
    )


def end_trip(probe: Probe) -> None:
    for outcome in EndOutcome:
        broadcast = probe.world.on_the_way()
        [assignment] = probe.world.assignments(broadcast)
        probe.send(
            Ending,
            filled_in(Ending, outcome=outcome),
            Role.ADMIN,
            uuid4(),
            f"POST /assignments/{assignment.id}/end",
            _reads_timeline(probe, broadcast),
        )


def _audit(probe: Probe, subject: UUID) -> Callable[[Any], list[Any]]:
    def read(_: Any) -> list[Any]:
        items: list[Any] = probe.ask(Role.ADMIN, uuid4(), f"GET /admin/audit?subject={subject}")["items"]
        return items

    return read


def operators_cancel(probe: Probe) -> None:
    _intervention(probe, "cancel")


def operators_expiry(probe: Probe) -> None:
    _intervention(probe, "expire")


def operators_widening(probe: Probe) -> None:
    _intervention(probe, "widen")


def _intervention(probe: Probe, action: str) -> None:
    probe.world.fleet()
    broadcast = probe.world.broadcast()
    probe.send(
        Intervention,
        filled_in(Intervention),
        Role.ADMIN,
        uuid4(),
        f"POST /admin/broadcasts/{broadcast}/{action}",
        _reads_timeline(probe, broadcast),
    )


def operators_availability(probe: Probe) -> None:
    fleet = probe.world.fleet()
    probe.send(
        AvailabilityIntervention,
        filled_in(AvailabilityIntervention, isAvailable=False),
        Role.ADMIN,
        uuid4(),
        f"PUT /admin/transporters/{fleet.id}/availability",
        _audit(probe, fleet.id),
    )


def _policy(model: type[PolicyDraft]) -> dict[str, Any]:
    steps = [5.25, 11.5]
    settings = filled_in(
        PolicySettings,
        radiusStepsKm=steps,
        lastStepMaxKm=77.25,
        radiusStepSeconds=3.75,
        broadcastTimeoutSeconds=431,
    )
    return filled_in(model, vehicleTypes=["tipper"], settings=settings)


def new_version_of_policy(probe: Probe) -> None:
    def listed(_: Any) -> list[Any]:
        items: list[Any] = probe.ask(Role.ADMIN, uuid4(), "GET /admin/policies")["items"]
        return items

    body = _policy(NewPolicyVersion)
    probe.send(NewPolicyVersion, body, Role.ADMIN, uuid4(), "PUT /admin/policies/delhi", listed)


def preview_of_policy(probe: Probe) -> None:
    """A preview is no command: each of its values is in the answer, except the reason."""
    body = _policy(PreviewedPolicy)
    shown = probe.ask(Role.ADMIN, uuid4(), "POST /admin/policies/delhi/preview", body)
    then = {each["setting"]: each["then"] for each in shown["changes"]}
    assert then.items() >= body["settings"].items()
    assert (shown["areaThen"], shown["vehicleTypesThen"]) == (body["area"], body["vehicleTypes"])
    probe.fields |= _fields(PreviewedPolicy)


def pause_of_policy(probe: Probe) -> None:
    probe.send(
        PolicyPause,
        filled_in(PolicyPause, paused=True),
        Role.ADMIN,
        uuid4(),
        "PUT /admin/policies/default/paused",
        lambda _: probe.ask(Role.ADMIN, uuid4(), "GET /admin/audit")["items"],
    )


def trip_status(probe: Probe) -> None:
    broadcast = probe.world.on_the_way()
    [assignment] = probe.world.assignments(broadcast)
    probe.send(
        TripStep,
        filled_in(TripStep),
        Role.DRIVER,
        assignment.driver_id,
        f"PUT /trips/{assignment.trip_id}/status",
        _reads_timeline(probe, broadcast),
    )


def trip_location(probe: Probe) -> None:
    [assignment] = probe.world.assignments(probe.world.on_the_way())

    def newest(_: Any) -> list[Any]:
        entries: Any = redis().xrevrange(live_stream.EPHEMERAL, count=1)
        return [live_stream.decode(entry) for _, entry in entries]

    probe.send(
        TripLocation,
        filled_in(TripLocation),
        Role.DRIVER,
        assignment.driver_id,
        f"POST /trips/{assignment.trip_id}/location",
        newest,
    )


def heartbeat(probe: Probe) -> None:
    fleet = probe.world.fleet()

    def marker(_: Any) -> list[Any]:
        at = presence.last_position(fleet.id)
        assert at is not None
        return [{"latitude": at.latitude, "longitude": at.longitude}]

    probe.send(
        Heartbeat, filled_in(Heartbeat), Role.TRANSPORTER, fleet.id, "POST /transporter/heartbeat", marker
    )


SCENARIOS: dict[tuple[str, type[Request]], Callable[[Probe], None]] = {
    ("POST /bookings", NewBooking): create_booking,
    ("POST /orders", NewOrder): create_order,
    ("PUT /bookings/<id>/cancel", Cancellation): cancel_booking,
    ("PUT /orders/<id>/cancel", Cancellation): cancel_order,
    ("POST /broadcasts/<id>/accept", Acceptance): accept,
    ("POST /truck-requests/<id>/accept", OneTruck): accept_slot,
    ("POST /broadcasts/<id>/decline", Refusal): decline,
    ("POST /broadcasts/<id>/hold", SlotsWanted): hold,
    ("POST /holds/<id>/confirm", Confirmation): confirm,
    ("PUT /transporter/availability", Availability): transporter_availability,
    ("PUT /driver/availability", Availability): driver_availability,
    ("PUT /vehicles/<vehicleNumber>", VehicleDetails): register_vehicle,
    ("PUT /drivers/<driverId>", DriverDetails): register_driver,
    ("PUT /devices/<token>", DeviceDetails): register_device,
    ("PUT /relations/transporters/<transporterId>", CustomersRelation): customers_relation,
    ("PUT /relations/customers/<customerId>", TransportersRelation): transporters_relation,
    ("PUT /admin/customers/<customerId>/transporters/<transporterId>", Contract): contract,
    ("POST /webhooks", NewWebhook): create_webhook,
    ("PUT /webhooks/<id>", WebhookChanges): update_webhook,
    ("POST /webhooks/<id>/resend", ResendRange): resend_to_webhook,
    ("POST /assignments/<id>/decline", DriverRefusal): driver_decline,
    ("POST /assignments/<id>/give-back", GivingBack): give_back,
    ("POST /assignments/<id>/replace", Replacement): replace,
    ("POST /assignments/<id>/no-show", NoShowReport): report_no_show,
    ("POST /assignments/<id>/cancel", TruckCancellation): cancel_truck,
    ("POST /assignments/<id>/end", Ending): end_trip,
    ("POST /broadcasts/<id>/cancel", Intervention): operators_cancel,
    ("POST /broadcasts/<id>/expire", Intervention): operators_expiry,
    ("POST /broadcasts/<id>/widen", Intervention): operators_widening,
    ("PUT /transporters/<id>/availability", AvailabilityIntervention): operators_availability,
    ("PUT /<scope>", NewPolicyVersion): new_version_of_policy,
    ("POST /<scope>/preview", PreviewedPolicy): preview_of_policy,
    ("PUT /<scope>/paused", PolicyPause): pause_of_policy,
    ("PUT /trips/<tripId>/status", TripStep): trip_status,
    ("POST /trips/<tripId>/location", TripLocation): trip_location,
    ("POST /transporter/heartbeat", Heartbeat): heartbeat,
}


def bodies() -> dict[str, str]:
    """Return the name of the request model of each route with a body, read from the source text of the views."""
    found: dict[str, str] = {}
    for path in python_files("weelo_api/views"):
        if path.name == "sandbox.py":
            continue  # routes of the sandbox are tested in tests/sandbox
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            taken = [each.annotation for each in node.args.args if each.arg == "body"]
            for decorator in node.decorator_list:
                if taken and isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute):
                    method = decorator.func.attr.upper()
                    if method in ("POST", "PUT", "PATCH"):
                        assert taken[0] is not None
                        found[f"{method} {ast.literal_eval(decorator.args[0])}"] = name_of(taken[0])
    return found


@lru_cache
def _app() -> FlaskClient:
    return create_app().test_client()


@pytest.mark.parametrize(
    ("route", "model"), SCENARIOS, ids=lambda each: each if isinstance(each, str) else each.__name__
)
def test_every_field_of_a_request_arrives(world: World, route: str, model: type[Request]) -> None:
    probe = Probe(world, _app())
    SCENARIOS[route, model](probe)
    lost = {
        f"{path} is not in {place}"
        for path, places in probe.missing.items()
        for place in places - MAY_BE_MISSING.get(path, {}).keys()
        if path not in probe.proved or place == COMMAND
    }
    assert lost == set()
    # Check that a request has sent each field of the model and of its nested models.
    assert _fields(model) <= probe.fields
    stale = {
        f"{path} is in {place} after all"
        for path, places in probe.missing.items()
        for place in MAY_BE_MISSING.get(path, {}).keys() - places
    }
    assert stale == set()


REASONS: dict[str, tuple[Callable[[World, Any], Any], str]] = {
    "give-back": (
        lambda world, trip: world.give_back(
            trip, by=Role.TRANSPORTER, reason=ProviderReason.SAFETY, note="a slope"
        ),
        "safety",
    ),
    "cancel of one truck": (
        lambda world, trip: world.cancel_truck(trip, reason=CustomerReason.TOO_SLOW, note="a slope"),
        "too_slow",
    ),
    "end": (
        lambda world, trip: world.end_trip(trip, reason=CustomerReason.PRICE, note="a slope"),
        "price",
    ),
    "cancel": (
        lambda world, trip: world.cancel(
            trip.broadcast_id, reason="a slope", code=CustomerReason.FOUND_ELSEWHERE
        ),
        "found_elsewhere",
    ),
}


@pytest.mark.parametrize("way", REASONS)
def test_WAYS_01_a_reason_is_a_code_in_row_view_event_and_timeline_and_the_words_are_a_note(
    world: World, way: str
) -> None:
    gives, code = REASONS[way]
    broadcast = world.on_the_way()
    [trip] = world.assignments(broadcast)
    assert gives(world, trip).status == "succeeded"
    [ended] = world.assignments(broadcast)
    assert (ended.reason_code, ended.note) == (code, "a slope")
    told = world.events_of(trip.driver_id, "trip_cancelled")[-1]
    assert told["reasonCode"] == told["assignment"]["reasonCode"] == code
    assert told["reason"] != code
    headers = {"Authorization": f"Bearer {token(Role.ADMIN, uuid4())}"}
    timeline = _app().get(f"/api/v1/broadcasts/{broadcast}/timeline", headers=headers).get_json()
    details = [entry["details"] for entry in timeline["items"] if entry["subjectId"] == str(trip.id)][-1]
    assert (details["reasonCode"], details["note"]) == (code, "a slope")


def _fields(model: type[BaseModel]) -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        inner = _inner(field)
        found |= _fields(inner) if inner else {f"{model.__name__}.{field.alias or name}"}
    return found


def _inner(field: FieldInfo) -> type[BaseModel] | None:
    kind = _core(field.annotation)
    item = get_args(kind)[0] if get_origin(kind) is list else kind
    return item if isinstance(item, type) and issubclass(item, BaseModel) else None


def test_every_route_that_takes_a_body_has_a_scenario() -> None:
    assert {route: model.__name__ for route, model in SCENARIOS} == bodies()


def test_every_request_model_is_the_body_of_a_route_or_part_of_one() -> None:
    sent = {own.partition(".")[0] for _, model in SCENARIOS for own in _fields(model)}
    outer = {model.__name__ for _, model in SCENARIOS}
    shared = {"BroadcastRequest", "PolicyDraft"}  # base classes, which are no body themselves
    others = {each.__name__ for each in NO_BODIES}
    models = {each.__name__ for each in _below(Request) if not is_of_the_sandbox(each)}
    assert models == sent | outer | shared | others


def _below(model: type[Request]) -> Iterator[type[Request]]:
    for each in model.__subclasses__():
        yield each
        yield from _below(each)
