"""Why a broadcast ended without a truck: the reason that its customer is given."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, select

from weelo_workers import moves, presence
from weelo_workers.broadcasts.matching import pickup_of
from weelo_workers.contracts.statuses import PassedOverBecause, UnfilledBecause
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer, PassedOver, Transporter, Vehicle, on_the_road

# Of transporters with a truck on the road, so many are looked up.
MAX_LOOKED_UP = 10_000


@dataclass(frozen=True, slots=True)
class FleetsOnline:
    """Whether any fleets with trucks of the kind are online in reach now: with free ones, with busy ones."""

    free: bool
    busy: bool


def fleets_online(uow: UnitOfWork, broadcast: Broadcast) -> FleetsOnline:
    """Return which fleets in reach could have been told. Reads Redis, so it is called before anything is locked.

    With Redis away, every fleet that wants work is in reach, as the rings take it.
    """
    keys = {slot.vehicle_key for slot in moves.slots_of(uow, broadcast.id)}
    busy = uow.session.scalars(
        select(Transporter.id)
        .join(Vehicle, Vehicle.transporter_id == Transporter.id)
        .where(Transporter.is_available, Vehicle.vehicle_key.in_(keys), on_the_road)
        .distinct()
        .limit(MAX_LOOKED_UP)
    ).all()
    pickup, radius_km = pickup_of(broadcast), broadcast.radius_km
    try:
        return FleetsOnline(
            free=bool(presence.nearest(keys, pickup, 1, radius_km).near),
            busy=bool(presence.online_within(busy, pickup, radius_km)),
        )
    except presence.PresenceUnknown:
        return FleetsOnline(free=False, busy=bool(busy))


def unfilled_because(uow: UnitOfWork, broadcast: Broadcast, online: FleetsOnline | None) -> UnfilledBecause:
    """Return the reason. `online` None: somebody had been told already, so it does not matter."""
    if uow.session.scalar(select(exists().where(Offer.broadcast_id == broadcast.id))):
        return UnfilledBecause.NOBODY_ACCEPTED
    had_no_room = exists().where(
        PassedOver.broadcast_id == broadcast.id,
        PassedOver.reason.in_({PassedOverBecause.TOO_MANY_OFFERS, PassedOverBecause.NO_FREE_TRUCK}),
    )
    if uow.session.scalar(select(had_no_room)):
        return UnfilledBecause.NOBODY_FREE
    if online is None or not (online.free or online.busy):
        return UnfilledBecause.NO_TRANSPORTER_ONLINE
    return UnfilledBecause.NOBODY_ACCEPTED if online.free else UnfilledBecause.NOBODY_FREE
