"""Who could carry this: near enough by presence, willing and with a free truck of the kind by the database."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, and_, distinct, exists, func, select
from sqlalchemy.orm import Session

from weelo_workers import presence
from weelo_workers.contracts.statuses import PassedOverBecause, TruckRequestStatus
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.models import Broadcast, Offer, Transporter, TruckRequest, Vehicle, on_the_road
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

# Offers older than this are of no open broadcast, or of one that was opened again: they count for no limit.
_RECENT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Candidate:
    transporter_id: UUID
    distance_km: float | None
    """From the pickup; None when it is not known where they are."""
    kinds: tuple[str, ...]
    """Of the open kinds, those of which the fleet has a free truck."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    transporter_id: UUID
    because: PassedOverBecause
    distance_km: float | None = None


@dataclass(slots=True)
class Found:
    """Both nearest first."""

    candidates: list[Candidate] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def keep_nearest(self, limit: int) -> bool:
        """The others have their turn in the next step. True if there are such."""
        others = self.candidates[limit:]
        self.candidates = self.candidates[:limit]
        self.left_out += [
            LeftOut(other.transporter_id, PassedOverBecause.NEXT_STEP, other.distance_km) for other in others
        ]
        return bool(others)


def pickup_of(broadcast: Broadcast) -> presence.Point:
    return presence.Point(broadcast.pickup["latitude"], broadcast.pickup["longitude"])


def reaches(broadcast: Broadcast, km: float | None) -> bool:
    """Whether its rings have come as far as this. Once everyone was asked, everyone is in reach."""
    if broadcast.radius_step == 0:
        return False
    return broadcast.radius_km is None or (km is not None and km <= broadcast.radius_km)


def searched_kinds(slots: Sequence[TruckRequest]) -> set[str]:
    return {slot.vehicle_key for slot in slots if slot.status == TruckRequestStatus.SEARCHING}


def reached(
    broadcast: Broadcast, slots: Sequence[TruckRequest], radius_km: float | None
) -> presence.Reached | None:
    """Who is near enough and has such a truck, as presence knows it; None: it does not know. `radius_km` None:
    wherever they are.

    Redis may take a moment to answer, so this is asked before anything is locked.
    """
    keys = {slot.vehicle_key for slot in slots}
    try:
        return presence.reached_by(keys, pickup_of(broadcast), radius_km)
    except presence.PresenceUnknown as unknown:
        log.info("matching without presence: %s", unknown)
        return None


def find(
    session: Session,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    reach: presence.Reached | None,
    now: datetime,
    *,
    everyone: bool = False,
) -> Found:
    """Whom to offer this to, and who was left out and why. `everyone`: wherever they are.

    Presence proposes, the rows dispose: only who wants work at this moment, has a free truck of an open
    kind, room for another offer and has not been told yet is a candidate. Asked under the broadcast's lock.
    """
    keys = searched_kinds(slots)
    near = reach.near if reach else {}
    found = Found(left_out=[LeftOut(who, PassedOverBecause.SILENT) for who in reach.silent] if reach else [])
    # Within a radius, those whom presence has not heard again yet may drive into the ring. Of everyone, it is
    # the rows that say who wants work: silence would lose the customer a truck, an offer too many nobody anything.
    all_who_want_work = reach is None or (everyone and reach.partial)
    if not keys or not (near or all_who_want_work):
        return found
    told = exists().where(Offer.broadcast_id == broadcast.id, Offer.transporter_id == Transporter.id)
    query = _with_trucks_of(keys, now).where(~told)
    query = query.where(Transporter.is_available if all_who_want_work else Transporter.id.in_(near))
    for row in session.execute(query):
        km = near.get(row.id)
        if not row.is_available:
            found.left_out.append(LeftOut(row.id, PassedOverBecause.OFFLINE, km))
        elif not row.kinds:
            found.left_out.append(LeftOut(row.id, PassedOverBecause.NO_FREE_TRUCK, km))
        elif row.open_offers >= settings().max_open_offers:
            found.left_out.append(LeftOut(row.id, PassedOverBecause.TOO_MANY_OFFERS, km))
        else:
            found.candidates.append(Candidate(row.id, km, row.kinds))
    found.candidates.sort(key=lambda each: (each.distance_km is None, each.distance_km or 0.0))
    found.left_out.sort(key=lambda each: (each.distance_km is None, each.distance_km or 0.0))
    return found


def knowing(session: Session, broadcast: Broadcast, slots: Sequence[TruckRequest]) -> list[Candidate]:
    """Those who have heard of it, have not declined, and could take an open slot at this moment."""
    rows = session.execute(
        select(
            Offer.transporter_id,
            Offer.distance_km,
            func.array_agg(distinct(Vehicle.vehicle_key)).label("kinds"),
        )
        .join(Transporter, and_(Transporter.id == Offer.transporter_id, Transporter.is_available))
        .join(Vehicle, Vehicle.transporter_id == Offer.transporter_id)
        .where(
            Offer.broadcast_id == broadcast.id,
            Offer.declined_at.is_(None),
            Vehicle.vehicle_key.in_(searched_kinds(slots)),
            ~on_the_road,
        )
        .group_by(Offer.transporter_id, Offer.distance_km)
    )
    return [Candidate(row.transporter_id, row.distance_km, row.kinds) for row in rows]


def _with_trucks_of(keys: set[str], now: datetime) -> Select[UUID, bool, Sequence[str], int]:
    """Transporters with vehicles of these kinds; `kinds`: of which one is free, `open_offers`: how many they have."""
    open_offers = (
        select(func.count())
        .select_from(Offer)
        .join(Broadcast, Broadcast.id == Offer.broadcast_id)
        .where(
            Offer.transporter_id == Transporter.id,
            Offer.offered_at > now - _RECENT,
            Offer.declined_at.is_(None),
            Broadcast.status.in_(OPEN),
        )
        .correlate(Transporter)
        .scalar_subquery()
    )
    return (
        select(
            Transporter.id,
            Transporter.is_available,
            func.array_agg(distinct(Vehicle.vehicle_key)).filter(~on_the_road).label("kinds"),
            open_offers.label("open_offers"),
        )
        .join(Vehicle, Vehicle.transporter_id == Transporter.id)
        .where(Vehicle.vehicle_key.in_(keys))
        .group_by(Transporter.id)
    )
