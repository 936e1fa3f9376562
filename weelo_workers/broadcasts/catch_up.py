"""A transporter comes online, or has a free truck again: open broadcasts that have passed them by are offered."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, false, func, or_, select

from weelo_workers import presence
from weelo_workers.broadcasts.matching import pickup_of, reaches
from weelo_workers.contracts.broadcasts import CatchUp, OfferLate
from weelo_workers.contracts.statuses import TruckRequestStatus
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer, TruckRequest, Vehicle, on_the_road
from weelo_workers.settings import settings

# Of a whole country's open broadcasts, the newest.
MAX_LOOKED_AT = 500
KM_PER_DEGREE = 110.5


@handles(CatchUp)
def catch_up(command: CatchUp, uow: UnitOfWork) -> None:
    """The nearest ones within reach, as many as somebody may have open. Each is offered under its own lock."""
    who = command.transporter_id
    here = presence.place_of(who)
    fits = (
        exists()
        .where(
            TruckRequest.broadcast_id == Broadcast.id,
            TruckRequest.status == TruckRequestStatus.SEARCHING,
            Vehicle.vehicle_key == TruckRequest.vehicle_key,
            Vehicle.transporter_id == who,
        )
        .where(~on_the_road)
    )
    heard = exists().where(Offer.broadcast_id == Broadcast.id, Offer.transporter_id == who)
    missed = uow.session.scalars(
        select(Broadcast)
        .where(
            Broadcast.status.in_(OPEN),
            Broadcast.expires_at > uow.now,
            Broadcast.radius_step > 0,
            or_(Broadcast.radius_km.is_(None), _about_here(here)),
            fits,
            ~heard,
        )
        .order_by(Broadcast.expires_at.desc())
        .limit(MAX_LOOKED_AT)
    )
    by_distance = [(None if here is None else pickup_of(b).km_to(here), b.id, b) for b in missed]
    in_reach = [each for each in by_distance if reaches(each[2], each[0])]
    in_reach.sort(key=lambda each: (each[0] or 0.0, each[1]))
    for _, broadcast_id, _ in in_reach[: settings().max_open_offers]:
        uow.send(OfferLate(broadcast_id=broadcast_id, transporter_id=who))


def _about_here(here: presence.Point | None) -> ColumnElement[bool]:
    """On a parallel near enough; how far it really is, is measured afterwards."""
    if here is None:
        return false()
    degrees = Broadcast.radius_km / KM_PER_DEGREE
    return func.abs(Broadcast.pickup["latitude"].as_float() - here.latitude) <= degrees
