"""Who could carry this: near enough by presence, willing and with a free truck of the kind by the database."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

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
    keys = {slot.vehicle_key for slot in slots if slot.status == TruckRequestStatus.SEARCHING}
    if not keys:
        return []
    eligible = _eligible(session, broadcast, keys, None if near is None else list(near))
    known = near or {}
    nearest_first = sorted(
        (Candidate(transporter_id, known.get(transporter_id)) for transporter_id in eligible),
        key=lambda candidate: (candidate.distance_km is None, candidate.distance_km or 0.0),
    )
    return nearest_first[:limit]


def has_free_truck(keys: set[str], transporter_id: InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """The fleet has a vehicle of one of these kinds that is on no live assignment."""
    busy = exists().where(Assignment.vehicle_id == Vehicle.id, Assignment.status.in_(LIVE))
    return exists().where(Vehicle.transporter_id == transporter_id, Vehicle.vehicle_key.in_(keys), ~busy)


def can_take(keys: set[str], transporter_id: InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """The fleet wants work and has a free truck of one of these kinds."""
    wants_work = exists().where(Transporter.id == transporter_id, Transporter.is_available)
    return and_(wants_work, has_free_truck(keys, transporter_id))


def _eligible(session: Session, broadcast: Broadcast, keys: set[str], among: list[UUID] | None) -> list[UUID]:
    if among == []:
        return []
    told = exists().where(Offer.broadcast_id == broadcast.id, Offer.transporter_id == Transporter.id)
    query = select(Transporter.id).where(
        Transporter.is_available, has_free_truck(keys, Transporter.id), ~told
    )
    if among is not None:
        query = query.where(Transporter.id.in_(among))
    return list(session.scalars(query))
