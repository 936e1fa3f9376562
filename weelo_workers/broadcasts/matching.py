"""Who could carry this: near enough by presence, willing and with a free truck of the kind by the database."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, and_, distinct, exists, func, select
from sqlalchemy.orm import Session

from weelo_workers import presence
from weelo_workers.contracts.statuses import TruckRequestStatus
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.models import Assignment, Broadcast, Offer, Transporter, TruckRequest, Vehicle

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    transporter_id: UUID
    distance_km: float | None
    """From the pickup; None when it is not known where they are."""
    kinds: tuple[str, ...]
    """Of the open kinds, those of which the fleet has a free truck."""


Reached = dict[UUID, float | None] | None
"""Transporters and how far they are from the pickup in km; None: it is not known who is near."""


def reached(broadcast: Broadcast, slots: Sequence[TruckRequest], radius_km: float | None) -> Reached:
    """Who is near enough and has such a truck, as presence knows it. `radius_km` None: wherever they are.

    Redis may take a moment to answer, so this is asked before anything is locked.
    """
    keys = {slot.vehicle_key for slot in slots}
    pickup = presence.Point(broadcast.pickup["latitude"], broadcast.pickup["longitude"])
    try:
        return presence.reached_by(keys, pickup, radius_km)
    except presence.PresenceUnknown as unknown:
        # Redis is away or was emptied a moment ago: offer to all who said that they want work,
        # since silence would lose the customer a truck and an offer too many loses nobody anything.
        log.info("matching without presence: %s", unknown)
        return None


def candidates(
    session: Session, broadcast: Broadcast, slots: Sequence[TruckRequest], near: Reached, limit: int
) -> list[Candidate]:
    """At most `limit` transporters to offer this to, nearest first.

    Presence proposes, the rows dispose: only who wants work at this moment, has a free truck of an open
    kind and has not been told yet is returned. Asked under the broadcast's lock.
    """
    if near is not None and not near:
        return []
    told = exists().where(Offer.broadcast_id == broadcast.id, Offer.transporter_id == Vehicle.transporter_id)
    eligible = _able(slots).where(~told)
    if near is not None:
        eligible = eligible.where(Vehicle.transporter_id.in_(list(near)))
    known = near or {}
    nearest_first = sorted(
        (
            Candidate(row.transporter_id, known.get(row.transporter_id), row.kinds)
            for row in session.execute(eligible)
        ),
        key=lambda candidate: (candidate.distance_km is None, candidate.distance_km or 0.0),
    )
    return nearest_first[:limit]


def knowing(session: Session, broadcast: Broadcast, slots: Sequence[TruckRequest]) -> list[Candidate]:
    """Those who have heard of it, have not declined, and could take an open slot at this moment."""
    offer = and_(Offer.broadcast_id == broadcast.id, Offer.transporter_id == Vehicle.transporter_id)
    able = _able(slots).join(Offer, offer).where(Offer.declined_at.is_(None))
    rows = session.execute(able.add_columns(Offer.distance_km).group_by(Offer.distance_km))
    return [Candidate(row.transporter_id, row.distance_km, row.kinds) for row in rows]


def _able(slots: Sequence[TruckRequest]) -> Select[UUID, Sequence[str]]:
    """Transporters who want work and have a free truck for an open slot; `kinds` says of which kinds."""
    keys = {slot.vehicle_key for slot in slots if slot.status == TruckRequestStatus.SEARCHING}
    busy = exists().where(Assignment.vehicle_id == Vehicle.id, Assignment.status.in_(LIVE))
    return (
        select(Vehicle.transporter_id, func.array_agg(distinct(Vehicle.vehicle_key)).label("kinds"))
        .join(Transporter, Transporter.id == Vehicle.transporter_id)
        .where(Transporter.is_available, Vehicle.vehicle_key.in_(keys), ~busy)
        .group_by(Vehicle.transporter_id)
    )
