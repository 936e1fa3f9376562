"""The catalog of events: the wire name of each event, its audiences, and how long it is worth a push.

No other module decides any of these.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from sqlalchemy import select
from sqlalchemy.orm import Session

from weelo_workers.contracts import broadcasts, fleet, offers, outcomes, trips, webhooks
from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.recipients import (
    Recipients,
    ToCaller,
    ToDriver,
    ToOffered,
    ToTransporter,
    ToTransportersWithTrucks,
    ToUser,
)
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.contracts.wire import two_decimals
from weelo_workers.lifecycles import assignment as assignment_lifecycle
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.models import Assignment, Broadcast, Offer
from weelo_workers.queries.offered_to import offered_to

Own = dict[str, Any] | None
"""Data for one reader only. It overrides fields of the event's data."""

Reads = TypeVar("Reads", bound="Nothing")
To = TypeVar("To", bound=Recipients)


# --- the fields of an event that audiences and pushes read ------------------------------------------------
# Only the fields of the following classes are validated when an event is written. So a worker can write an event that
# another version of this program has stored with further fields.


class Nothing(BaseModel):
    """The base of the classes that declare which fields of an event are read. It declares no field itself."""

    # Errors do not contain the input, because they are logged, and an event's data may contain names and addresses.
    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, extra="ignore", hide_input_in_errors=True
    )


class OfBroadcast(Nothing):
    broadcast_id: UUID


class OfBroadcastVersion(OfBroadcast):
    version: int


class Parties(Nothing):
    id: UUID
    transporter_id: UUID
    driver_id: UUID


class OfAssignment(OfBroadcast):
    assignment: Parties


@dataclass(frozen=True, slots=True)
class Audience:
    """A function that finds the readers of an event, with the classes of the data that the function gets.

    `reads`: the class that declares the fields of the event which the function reads. `to`: the class of the recipients
    that are stored with the event.
    """

    find: Callable[[Session, Any, Any], Mapping[UUID, Own]]
    reads: type[Nothing]
    to: type[Recipients]
    text: str
    """The readers in words, for `/asyncapi.json`."""

    def __call__(self, session: Session, envelope: EventEnvelope) -> Mapping[UUID, Own]:
        """Return the readers, each with the data for this reader only.

        Raises ValueError if the stored event lacks a field.
        """
        return self.find(
            session, self.reads.model_validate(envelope.data), self.to.model_validate(envelope.to)
        )


def audience(
    reads: type[Reads], to: type[To], text: str
) -> Callable[[Callable[[Session, Reads, To], Mapping[UUID, Own]]], Audience]:
    """Make an audience of a function. `text`: see `Audience`."""
    return lambda find: Audience(find, reads, to, text)


@dataclass(frozen=True, slots=True)
class PushData:
    """The ids in a push: of its broadcast, and of its assignment if the push is about one."""

    broadcast_id: UUID
    assignment_id: UUID | None


@dataclass(frozen=True, slots=True)
class PushCondition:
    """Selects the users for whom a push is still useful after it has waited.

    `reads`: a class that declares fields. Only an event that has all these fields can use this condition. The id of the
    broadcast is always one of them.
    """

    find: Callable[[Session, PushData, Collection[UUID]], Collection[UUID]]
    reads: type[OfBroadcast]

    def __call__(
        self, session: Session, push_data: Mapping[str, str], users: Collection[UUID]
    ) -> Collection[UUID]:
        """Return those of `users` for whom the push is still useful now. `push_data`: the ids that the push contains."""
        assignment = push_data.get("assignmentId")
        data = PushData(UUID(push_data["broadcastId"]), UUID(assignment) if assignment else None)
        return self.find(session, data, users)


def push_condition(
    reads: type[OfBroadcast],
) -> Callable[[Callable[[Session, PushData, Collection[UUID]], Collection[UUID]]], PushCondition]:
    """Make a push condition from a function."""
    return lambda find: PushCondition(find, reads)


@dataclass(frozen=True, slots=True)
class Route:
    """An event's name on the wire and its audiences. An event without audiences is deliberately sent to no user."""

    name: str
    audiences: tuple[Callable[[Session, EventEnvelope], Mapping[UUID, Own]], ...]
    pushed: PushCondition | None = None
    """If set, the event is worth a push (CONTRACT section 6) to the users that this returns."""


def check(event: type[Event], route: Route) -> None:
    """Raise TypeError unless the event has every field and all recipients that its route reads."""
    parts = [each for each in route.audiences if isinstance(each, Audience)]
    for reads in [*(each.reads for each in parts), *([route.pushed.reads] if route.pushed else [])]:
        if missing := list(_missing(reads, event)):
            raise TypeError(f"the route of {event.__name__} reads {', '.join(missing)}, which it has not")
    for each in parts:
        if not issubclass(event.recipients, each.to):
            raise TypeError(
                f"an audience of {event.__name__} reads {each.to.__name__}; it is published with {event.recipients.__name__}"
            )


def _missing(reads: type[BaseModel], event: type[BaseModel]) -> Iterator[str]:
    for name, wanted in reads.model_fields.items():
        there = event.model_fields.get(name)
        if there is None:
            yield name
        elif isinstance(wanted.annotation, type) and issubclass(wanted.annotation, BaseModel):
            if isinstance(there.annotation, type) and issubclass(there.annotation, BaseModel):
                yield from (f"{name}.{part}" for part in _missing(wanted.annotation, there.annotation))
            else:
                yield name
        elif there.annotation is not wanted.annotation:
            yield name


# --- audiences ------------------------------------------------------------------------------------------


@audience(Nothing, ToCaller, "the user who sent the command")
def caller(session: Session, event: Nothing, to: ToCaller) -> Mapping[UUID, Own]:
    """Return the user who sent the command."""
    return {to.caller_id: None}


@audience(OfBroadcast, Recipients, "the customer of the booking or order")
def customer(session: Session, event: OfBroadcast, to: Recipients) -> Mapping[UUID, Own]:
    broadcast = session.get(Broadcast, event.broadcast_id)
    return {broadcast.customer_id: None} if broadcast else {}


@audience(OfBroadcast, ToOffered, "each transporter to whom this step offers the broadcast")
def newly_offered(session: Session, event: OfBroadcast, to: ToOffered) -> Mapping[UUID, Own]:
    """Return the transporters to whom this step made offers, each with their distance and the slots that they could take.

    The audience is empty if the broadcast is over when the event is written, because the app would show an offer that
    cannot be accepted.
    """
    broadcast = session.get(Broadcast, event.broadcast_id)
    if broadcast is None or broadcast.status not in OPEN:
        return {}
    return {
        transporter_id: {
            "pickupDistanceKm": None if own.km is None else two_decimals(own.km),
            "truckRequestIds": [
                str(slot) for kind in own.kinds for slot in to.slots[kind] if slot not in own.gave_back
            ],
        }
        for transporter_id, own in to.offered.items()
    }


@audience(OfBroadcastVersion, Recipients, "every transporter to whom the broadcast was offered")
def notified(session: Session, event: OfBroadcastVersion, to: Recipients) -> Mapping[UUID, Own]:
    """Return every transporter whose offer of the broadcast was made before this event and is not withdrawn."""
    return dict.fromkeys(offered_to(session, event.broadcast_id, event.version))


@audience(OfBroadcastVersion, ToTransportersWithTrucks, "every transporter to whom the broadcast was offered")
def notified_with_own_trucks(
    session: Session, event: OfBroadcastVersion, to: ToTransportersWithTrucks
) -> Mapping[UUID, Own]:
    """Return the same transporters as `notified`, each with the number of their trucks that are assigned to the broadcast.

    A transporter who has won trucks is included, even if their offer was withdrawn later.
    """
    return {
        transporter_id: {"assignedToYou": to.assigned_to.get(transporter_id, 0)}
        for transporter_id in {*offered_to(session, event.broadcast_id, event.version), *to.assigned_to}
    }


@audience(OfAssignment, Recipients, "the transporter of the assignment")
def transporter(session: Session, event: OfAssignment, to: Recipients) -> Mapping[UUID, Own]:
    return {event.assignment.transporter_id: None}


@audience(Nothing, ToUser, "the user concerned")
def named_user(session: Session, event: Nothing, to: ToUser) -> Mapping[UUID, Own]:
    return {to.user_id: None}


@audience(Nothing, ToTransporter, "the transporter concerned")
def named_transporter(session: Session, event: Nothing, to: ToTransporter) -> Mapping[UUID, Own]:
    return {to.transporter_id: None}


@audience(Nothing, ToTransportersWithTrucks, "each transporter who has trucks in the booking or order")
def transporters_with_trucks(
    session: Session, event: Nothing, to: ToTransportersWithTrucks
) -> Mapping[UUID, Own]:
    return dict.fromkeys(to.assigned_to)


@audience(OfAssignment, ToDriver, "the driver who loses the trip")
def named_driver(session: Session, event: OfAssignment, to: ToDriver) -> Mapping[UUID, Own]:
    """Return the driver `to.driver_id`; if that is None, the present driver of the assignment."""
    return {to.driver_id or event.assignment.driver_id: None}


@audience(OfAssignment, Recipients, "the driver of the assignment")
def driver(session: Session, event: OfAssignment, to: Recipients) -> Mapping[UUID, Own]:
    return {event.assignment.driver_id: None}


# --- how long an event is worth a push --------------------------------------------------------------------


@push_condition(OfBroadcast)
def always(session: Session, push: PushData, users: Collection[UUID]) -> Collection[UUID]:
    """Return all of `users`, however long the push has waited, because the event is a fact that does not change."""
    return users


@push_condition(OfBroadcast)
def while_on_offer(session: Session, push: PushData, users: Collection[UUID]) -> Collection[UUID]:
    """Return the transporters who have not declined, as long as the broadcast has open slots."""
    query = select(Offer.transporter_id).join(Broadcast, Broadcast.id == Offer.broadcast_id)
    return session.scalars(
        query.where(
            Broadcast.id == push.broadcast_id,
            Broadcast.status.in_(OPEN),
            Offer.transporter_id.in_(users),
            Offer.declined_at.is_(None),
        )
    ).all()


@push_condition(OfBroadcast)
def while_taken(session: Session, push: PushData, users: Collection[UUID]) -> Collection[UUID]:
    """Return all of `users`, or none if the broadcast is open again.

    When a broadcast is open again, a newer push offers the reopened slot. This push could arrive after the newer one,
    and would then replace it on the phone.
    """
    reopened = session.scalar(
        select(Broadcast.id).where(Broadcast.id == push.broadcast_id, Broadcast.status.in_(OPEN))
    )
    return () if reopened else users


@push_condition(OfAssignment)
def while_unanswered(session: Session, push: PushData, users: Collection[UUID]) -> Collection[UUID]:
    """Return the driver as long as they may still accept or decline."""
    return session.scalars(
        select(Assignment.driver_id).where(
            Assignment.id == push.assignment_id,
            Assignment.status.in_(assignment_lifecycle.ACCEPT.when),
            Assignment.driver_id.in_(users),
        )
    ).all()


@push_condition(OfBroadcast)
def while_without_trip(session: Session, push: PushData, users: Collection[UUID]) -> Collection[UUID]:
    """Return the users who are not the driver of a live assignment of the broadcast.

    A driver who lost the trip may be assigned again, which a newer push reports. This push could arrive after the newer
    one, and would then replace it on the phone.
    """
    drivers = session.scalars(
        select(Assignment.driver_id).where(
            Assignment.broadcast_id == push.broadcast_id,
            Assignment.status.in_(assignment_lifecycle.LIVE),
            Assignment.driver_id.in_(users),
        )
    )
    return set(users) - set(drivers)


@push_condition(OfAssignment)
def while_not_set_out(session: Session, push: PushData, users: Collection[UUID]) -> Collection[UUID]:
    """Return the driver and the transporter of the assignment, as long as the driver has accepted and not set out."""
    waiting = session.execute(
        select(Assignment.driver_id, Assignment.transporter_id).where(
            Assignment.id == push.assignment_id, Assignment.status == AssignmentStatus.DRIVER_ACCEPTED
        )
    ).one_or_none()
    return set(users) & set(waiting) if waiting else ()


@push_condition(OfAssignment)
def while_before_loading(session: Session, push: PushData, users: Collection[UUID]) -> Collection[UUID]:
    """Return all of `users`, or none if the goods are loaded or the trip has ended."""
    waiting = session.scalar(
        select(Assignment.id).where(
            Assignment.id == push.assignment_id, Assignment.status.in_(assignment_lifecycle.BEFORE_LOADING)
        )
    )
    return users if waiting else ()


# --- the catalog ----------------------------------------------------------------------------------------

WITHDRAWAL = (customer, notified_with_own_trucks)

CATALOG: dict[type[Event], Route] = {
    outcomes.CommandSettled: Route("command_settled", (caller,)),
    broadcasts.BroadcastStateChanged: Route("broadcast_state_changed", (customer,)),
    broadcasts.NewBroadcast: Route("new_broadcast", (newly_offered,), pushed=while_on_offer),
    broadcasts.TrucksRemainingUpdate: Route("trucks_remaining_update", (notified,)),
    broadcasts.BookingFullyFilled: Route("booking_fully_filled", WITHDRAWAL, pushed=while_taken),
    broadcasts.BookingCancelled: Route("booking_cancelled", WITHDRAWAL, pushed=always),
    broadcasts.BookingExpired: Route("booking_expired", WITHDRAWAL, pushed=while_taken),
    broadcasts.OfferWithdrawn: Route("offer_withdrawn", (named_transporter,), pushed=always),
    broadcasts.NoVehiclesAvailable: Route("no_vehicles_available", (customer,), pushed=always),
    offers.TruckConfirmed: Route("truck_confirmed", (customer,), pushed=always),
    offers.HoldExpired: Route("hold_expired", (named_transporter,)),
    fleet.DriverStatusChanged: Route("driver_status_changed", (named_transporter,)),
    fleet.AvailabilityChanged: Route("availability_changed", (named_transporter,)),
    trips.TripAssigned: Route("trip_assigned", (driver,), pushed=while_unanswered),
    trips.TripCancelled: Route("trip_cancelled", (named_driver,), pushed=while_without_trip),
    trips.TruckLost: Route("truck_lost", (customer,), pushed=always),
    trips.PickupReminder: Route("pickup_reminder", (driver, transporter), pushed=while_not_set_out),
    trips.AssignmentStalled: Route(
        "assignment_stalled", (transporter, customer), pushed=while_before_loading
    ),
    trips.DriverTimedOut: Route("driver_timeout", (transporter,), pushed=always),
    broadcasts.BookingCompleted: Route("booking_completed", (customer, transporters_with_trucks)),
    trips.AssignmentStatusChanged: Route("assignment_status_changed", (customer, transporter, driver)),
    webhooks.WebhookDisabled: Route("webhook_disabled", (named_user,)),
}

for _event, _route in CATALOG.items():
    check(_event, _route)

BY_NAME = {event.__name__: entry for event, entry in CATALOG.items()}
BY_WIRE_NAME = {entry.name: entry for entry in CATALOG.values()}
