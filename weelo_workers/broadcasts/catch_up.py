"""Handler: a transporter came online or has a free truck again. Offer them the open broadcasts that they missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Double,
    Exists,
    Integer,
    and_,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)

from weelo_workers import presence
from weelo_workers.broadcasts.matching import UNTIL_NEXT_STEP, Excluded, pickup_of
from weelo_workers.broadcasts.offering import BroadcastStep, record_passed_over
from weelo_workers.contracts.broadcasts import CatchUp, CreateBooking, CreateOrder, OfferLate
from weelo_workers.contracts.statuses import PassedOverBecause
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.lifecycles.distance import SPHERE_ERROR, SPHERE_KM
from weelo_workers.lifecycles.offer_cap import OfferRank, split_by_room
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import (
    Broadcast,
    Offer,
    PassedOver,
    Transporter,
    TruckRequest,
    Vehicle,
    vehicle_busy,
)
from weelo_workers.models.base import interval_of
from weelo_workers.models.broadcasts import (
    is_for_contracted,
    number_of_rings,
    policy_number,
    reach_covers,
    reach_is_limited,
)
from weelo_workers.queries.backlog import is_unsettled
from weelo_workers.queries.open_offers import in_last_step, leaves_room, open_offers_of
from weelo_workers.queries.relations import is_blocked, is_contracted
from weelo_workers.queries.sphere import half_chord_squared

# The delay of the second CatchUp. It is longer than the time between a step's search in Redis and its commit. So every
# step that searched before the transporter was online has committed when the second CatchUp reads the broadcasts.
RECHECK_AFTER = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Missed(OfferRank):
    """An open broadcast that reaches the transporter and has not been offered to them."""

    broadcast_id: UUID
    step: BroadcastStep
    cap: int
    """How many open offers a transporter may have to get this one."""
    free: bool
    """Whether the transporter has a free truck for it."""


@handles(CatchUp)
def catch_up(command: CatchUp, uow: UnitOfWork) -> None:
    """Send an OfferLate that lists the missed broadcasts, nearest first, up to the cap on open offers.

    Broadcasts for which the transporter has no room or no free truck are recorded as passed over, with that reason.
    """
    may_be_offered_now = or_(
        _some_broadcast_is_in_rings(command.transporter_id, uow.now), is_unsettled(CreateBooking, CreateOrder)
    )
    if not command.again and uow.session.scalar(select(may_be_offered_now)):
        uow.send(command.model_copy(update={"again": True}), at=uow.now + RECHECK_AFTER)
    open_offers = open_offers_of(uow.session, command.transporter_id, uow.now)
    missed = _missed(uow, command, open_offers)
    if not missed:
        return
    fit, refused = split_by_room(open_offers, [each for each in missed if each.free], lambda each: each.cap)
    busy = [each for each in missed if not each.free]
    record_passed_over(
        uow,
        [
            (each.step, Excluded(command.transporter_id, because, each.km))
            for these, because in (
                (refused, PassedOverBecause.TOO_MANY_OFFERS),
                (busy, PassedOverBecause.NO_FREE_TRUCK),
            )
            for each in these[: max(each.cap for each in missed)]
        ],
    )
    if fit:
        first, *others = (each.broadcast_id for each in fit)
        uow.send(OfferLate(broadcast_id=first, transporter_id=command.transporter_id, then=tuple(others)))


def _some_broadcast_is_in_rings(transporter_id: UUID, now: datetime) -> Exists:
    """Return the condition that this transporter could get an offer of a broadcast whose rings go on or start again.

    A step searches Redis before it locks the broadcast. If the transporter comes online after that search, and CatchUp
    reads the broadcast before the step commits, neither the step nor CatchUp makes the offer. Therefore CatchUp is sent
    a second time if this condition holds. CatchUp is also sent a second time while a command that creates a broadcast
    is unsettled, because that command searches Redis, too.
    """
    return exists().where(
        *_concerns(transporter_id, now), or_(reach_is_limited(), Broadcast.radius_step == 0)
    )


def _has_a_fitting_truck(transporter_id: UUID) -> Exists:
    return exists().where(
        TruckRequest.broadcast_id == Broadcast.id,
        TruckRequest.is_searching,
        TruckRequest.fits(Vehicle),
        Vehicle.transporter_id == transporter_id,
    )


def _concerns(transporter_id: UUID, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for an offer of the broadcast, without two: a free truck, and room in the list of offers.

    The transporter wants work, has no offer of the broadcast yet, and neither blocks its customer nor is blocked by them.
    The broadcast is open and has a slot for one of their trucks.
    """
    fits = _has_a_fitting_truck(transporter_id)
    offered = exists().where(Offer.broadcast_id == Broadcast.id, Offer.transporter_id == transporter_id)
    wants_work = exists().where(Transporter.id == transporter_id, Transporter.is_available)
    blocked = is_blocked(Broadcast.customer_id, transporter_id)
    return Broadcast.status.in_(OPEN), Broadcast.expires_at > now, fits, ~offered, wants_work, ~blocked


def _waits_for_the_next_step(transporter_id: UUID) -> Exists:
    """Return the condition that the broadcast's newest step excluded the transporter until the next step.

    That step offered the broadcast to other transporters first. Without this condition, an excluded transporter could
    get the offer before the next step by going offline and online. The condition is false if the broadcast expires
    before its next step.
    """
    next_at = PassedOver.at + interval_of(policy_number("radius_step_seconds"))
    return exists().where(
        PassedOver.broadcast_id == Broadcast.id,
        PassedOver.transporter_id == transporter_id,
        PassedOver.round == Broadcast.reoffer_rounds,
        PassedOver.step == Broadcast.radius_step,
        PassedOver.reason.in_(UNTIL_NEXT_STEP),
        next_at < Broadcast.expires_at,
    )


def _missed(uow: UnitOfWork, command: CatchUp, open_offers: Sequence[OfferRank]) -> list[Missed]:
    """Return the missed broadcasts within reach, nearest first.

    The number of rows read is limited. The query groups broadcasts by three facts: whether they are in their last step,
    whether the transporter has a free truck for them, and whether the open offers leave room for them. Of each group it
    returns the nearest broadcasts, at most twice as many as the cap on open offers. More than the cap are needed,
    because exact distances are computed afterwards, and some broadcasts may then turn out to be out of reach.
    """
    here = presence.last_position(command.transporter_id) or _place_in(command)
    last_step = Broadcast.radius_step > number_of_rings()
    cap = cast(policy_number("max_open_offers"), Integer)
    km_at_least = _km_at_least(here)
    room = leaves_room(open_offers, km_at_least * SPHERE_ERROR, last_step=last_step, cap=cap)
    free = _has_a_fitting_truck(command.transporter_id).where(~vehicle_busy)
    of_its_class = (
        func.row_number()
        .over(partition_by=(last_step, free, room), order_by=(km_at_least, Broadcast.id))
        .label("of_its_class")
    )
    nearest = (
        select(Broadcast.id, free.label("free"), of_its_class)
        .where(
            *_concerns(command.transporter_id, uow.now),
            ~_waits_for_the_next_step(command.transporter_id),
            or_(
                reach_covers(km_at_least),
                and_(is_for_contracted(), is_contracted(Broadcast.customer_id, command.transporter_id)),
            ),
        )
        .subquery()
    )
    rows = uow.session.execute(
        select(Broadcast, nearest.c.free)
        .join(nearest, nearest.c.id == Broadcast.id)
        .where(nearest.c.of_its_class <= 2 * cap)
    )
    missed = []
    for broadcast, is_free in rows:
        pickup = pickup_of(broadcast)
        km = None if here is None else pickup.km_to(here)
        # `km_at_least` may be less than the distance, so the query may return broadcasts that are out of reach.
        if broadcast.is_for_contracted or broadcast.reach.covers(km):
            missed.append(
                Missed(
                    km,
                    in_last_step(broadcast),
                    broadcast.id,
                    BroadcastStep(broadcast.id, broadcast.reoffer_rounds, broadcast.radius_step),
                    broadcast.policy.max_open_offers,
                    is_free,
                    pickup=(pickup.latitude, pickup.longitude),
                )
            )
    return sorted(missed, key=lambda each: (each.km or 0.0, each.broadcast_id))


def _place_in(command: CatchUp) -> presence.Point | None:
    if command.latitude is None or command.longitude is None:
        return None
    return presence.Point(command.latitude, command.longitude)


def _km_at_least(here: presence.Point | None) -> ColumnElement[float]:
    """Return a lower bound of the distance to the pickup, by the haversine formula; null if `here` is not known."""
    if here is None:
        return cast(null(), Double())
    chord = func.least(1.0, half_chord_squared(here.latitude, here.longitude))
    angle: ColumnElement[float] = 2 * func.asin(func.sqrt(chord))
    return angle * literal(SPHERE_KM / SPHERE_ERROR)
