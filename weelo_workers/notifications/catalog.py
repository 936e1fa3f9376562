"""The catalog of events: for each its wire name, its audiences, and how long it is worth a push.

No other place decides it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from weelo_workers.contracts import broadcasts, fleet, offers, outcomes, trips
from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.contracts.event import Event
from weelo_workers.lifecycles import assignment as assignment_lifecycle
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.models import Assignment, Broadcast, Offer

Own = dict[str, Any] | None
"""Data for one reader only, merged over the event's data."""

Audience = Callable[[Session, EventEnvelope], Mapping[UUID, Own]]

PushCondition = Callable[[Session, Mapping[str, str], Collection[UUID]], Collection[UUID]]
"""Returns those of these users for whom a push is still true. The mapping is the data of the push."""


@dataclass(frozen=True, slots=True)
class Route:
    """An event's name on the wire and its audiences. Without audiences it is deliberately sent to no one."""

    name: str
    audiences: tuple[Audience, ...]
    pushed: PushCondition | None = None
    """If set, the event is worth a push (CONTRACT section 6) to the users that this returns."""


# --- audiences ------------------------------------------------------------------------------------------


def caller(session: Session, told: EventEnvelope) -> Mapping[UUID, Own]:
    """Who sent the command."""
    return {UUID(told.to["caller_id"]): None}


def customer(session: Session, told: EventEnvelope) -> Mapping[UUID, Own]:
    broadcast = session.get(Broadcast, UUID(told.data["broadcastId"]))
    return {broadcast.customer_id: None} if broadcast else {}


def newly_offered(session: Session, told: EventEnvelope) -> Mapping[UUID, Own]:
    """Those whom this step reached, each with their own distance and the slots that they could take.

    Nobody if it is over by the time of telling: offers of what is gone would be ghosts.
    """
    broadcast = session.get(Broadcast, UUID(told.data["broadcastId"]))
    if broadcast is None or broadcast.status not in OPEN:
        return {}
    slots = told.to["slots"]
    return {
        UUID(who): {
            "pickupDistanceKm": own["km"],
            "truckRequestIds": [slot for kind in own["kinds"] for slot in slots[kind]],
        }
        for who, own in told.to["offered"].items()
    }


def notified(session: Session, told: EventEnvelope) -> Mapping[UUID, Own]:
    """Every transporter who had been told of the broadcast when this happened."""
    return dict.fromkeys(_recipients(session, told))


def notified_with_own_trucks(session: Session, told: EventEnvelope) -> Mapping[UUID, Own]:
    """As `notified`, each with how many of the trucks are theirs."""
    trucks = told.to["assigned_to"]
    return {who: {"assignedToYou": trucks.get(str(who), 0)} for who in _recipients(session, told)}


def transporter(session: Session, told: EventEnvelope) -> Mapping[UUID, Own]:
    return {UUID(told.data["assignment"]["transporterId"]): None}


def named_transporter(session: Session, told: EventEnvelope) -> Mapping[UUID, Own]:
    return {UUID(told.to["transporter_id"]): None}


def transporters_with_trucks(session: Session, told: EventEnvelope) -> Mapping[UUID, Own]:
    return {UUID(who): None for who in told.to["assigned_to"]}


def driver(session: Session, told: EventEnvelope) -> Mapping[UUID, Own]:
    return {UUID(told.data["assignment"]["driverId"]): None}


def _recipients(session: Session, told: EventEnvelope) -> list[UUID]:
    return list(
        session.scalars(
            select(Offer.transporter_id).where(
                Offer.broadcast_id == UUID(told.data["broadcastId"]), Offer.version <= told.data["version"]
            )
        )
    )


# --- how long it is worth a push --------------------------------------------------------------------------


def always(session: Session, says: Mapping[str, str], users: Collection[UUID]) -> Collection[UUID]:
    """The event stays true."""
    return users


def while_on_offer(session: Session, says: Mapping[str, str], users: Collection[UUID]) -> Collection[UUID]:
    """Trucks can still be won, and this transporter has not declined."""
    query = select(Offer.transporter_id).join(Broadcast, Broadcast.id == Offer.broadcast_id)
    return session.scalars(
        query.where(
            Broadcast.id == UUID(says["broadcastId"]),
            Broadcast.status.in_(OPEN),
            Offer.transporter_id.in_(users),
            Offer.declined_at.is_(None),
        )
    ).all()


def while_taken(session: Session, says: Mapping[str, str], users: Collection[UUID]) -> Collection[UUID]:
    """No slot has reopened: a reopened slot is offered again, and this push must not replace that offer."""
    reopened = session.scalar(
        select(Broadcast.id).where(Broadcast.id == UUID(says["broadcastId"]), Broadcast.status.in_(OPEN))
    )
    return () if reopened else users


def while_unanswered(session: Session, says: Mapping[str, str], users: Collection[UUID]) -> Collection[UUID]:
    """The driver may still accept or decline."""
    return session.scalars(
        select(Assignment.driver_id).where(
            Assignment.id == UUID(says["assignmentId"]),
            Assignment.status.in_(assignment_lifecycle.ACCEPT.when),
            Assignment.driver_id.in_(users),
        )
    ).all()


# --- the catalog ----------------------------------------------------------------------------------------

WITHDRAWAL = (customer, notified_with_own_trucks)

CATALOG: dict[type[Event], Route] = {
    outcomes.CommandSettled: Route("command_settled", (caller,)),
    broadcasts.BroadcastStateChanged: Route("broadcast_state_changed", (customer,)),
    broadcasts.NewBroadcast: Route("new_broadcast", (newly_offered,), pushed=while_on_offer),
    broadcasts.TrucksRemainingUpdate: Route("trucks_remaining_update", (notified,)),
    broadcasts.BookingFullyFilled: Route("booking_fully_filled", WITHDRAWAL, pushed=while_taken),
    broadcasts.BookingCancelled: Route("booking_cancelled", WITHDRAWAL, pushed=always),
    broadcasts.BookingExpired: Route("booking_expired", WITHDRAWAL, pushed=always),
    broadcasts.NoVehiclesAvailable: Route("no_vehicles_available", (customer,), pushed=always),
    offers.TruckConfirmed: Route("truck_confirmed", (customer,), pushed=always),
    offers.HoldExpired: Route("hold_expired", (named_transporter,)),
    fleet.DriverStatusChanged: Route("driver_status_changed", (named_transporter,)),
    trips.TripAssigned: Route("trip_assigned", (driver,), pushed=while_unanswered),
    trips.TripCancelled: Route("trip_cancelled", (driver,), pushed=always),
    trips.DriverTimedOut: Route("driver_timeout", (transporter,), pushed=always),
    broadcasts.BookingCompleted: Route("booking_completed", (customer, transporters_with_trucks)),
    trips.AssignmentStatusChanged: Route("assignment_status_changed", (customer, transporter, driver)),
}

BY_NAME = {event.__name__: entry for event, entry in CATALOG.items()}
BY_WIRE_NAME = {entry.name: entry for entry in CATALOG.values()}
