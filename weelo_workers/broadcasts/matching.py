"""Who could carry this: near enough by presence, willing and with a free truck of the kind by the database."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Double,
    Select,
    TableValuedAlias,
    Uuid,
    and_,
    column,
    distinct,
    exists,
    func,
    literal,
    select,
)
from sqlalchemy.orm import Session

from weelo_workers import presence
from weelo_workers.contracts.statuses import PassedOverBecause, TruckRequestStatus
from weelo_workers.lifecycles import ladder
from weelo_workers.models import Broadcast, Offer, Transporter, TruckRequest, Vehicle, on_the_road
from weelo_workers.queries.open_offers import open_offers_against
from weelo_workers.settings import settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    transporter_id: UUID
    distance_km: float | None
    """From the pickup; None when it is not known where they are."""
    kinds: tuple[str, ...]
    """Of the open kinds, those of which the fleet has a free truck."""


@dataclass(frozen=True, slots=True)
class Excluded:
    transporter_id: UUID
    because: PassedOverBecause
    distance_km: float | None = None


@dataclass(slots=True)
class MatchResult:
    """Both nearest first."""

    candidates: list[Candidate] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)

    def keep_nearest(self, limit: int) -> bool:
        """The others have their turn in the next step. True if there are such."""
        others = self.candidates[limit:]
        self.candidates = self.candidates[:limit]
        self.excluded += [
            Excluded(other.transporter_id, PassedOverBecause.NEXT_STEP, other.distance_km) for other in others
        ]
        return bool(others)


def pickup_of(broadcast: Broadcast) -> presence.Point:
    return presence.Point(broadcast.pickup["latitude"], broadcast.pickup["longitude"])


def covers(broadcast: Broadcast, km: float | None) -> bool:
    """Whether its rings have come as far as this. Once everyone was asked, everyone is in reach."""
    if broadcast.radius_step == 0:
        return False
    return broadcast.radius_km is None or (km is not None and km <= broadcast.radius_km)


def searched_kinds(slots: Sequence[TruckRequest]) -> set[str]:
    return {slot.vehicle_key for slot in slots if slot.status == TruckRequestStatus.SEARCHING}


def search_presence(
    broadcast: Broadcast, slots: Sequence[TruckRequest], this: ladder.Ring
) -> presence.SearchResult | None:
    """Return the transporters in presence who are within this ring and have such a truck; None if Redis does not answer.

    Redis may take a moment to answer, so this is asked before anything is locked.
    """
    keys, pickup = {slot.vehicle_key for slot in slots}, pickup_of(broadcast)
    try:
        if not this.last:
            return presence.search(keys, pickup, this.radius_km)
        count = ladder.portion_size(
            this.step,
            settings().radius_steps_km,
            settings().max_offers_per_step,
            broadcast.transporters_notified,
        )
        return presence.nearest(keys, pickup, count, this.radius_km)
    except presence.PresenceUnavailable as unknown:
        log.info("matching without presence: %s", unknown)
        return None


def find_candidates(
    session: Session,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    reach: presence.SearchResult | None,
    now: datetime,
    *,
    last_step: bool,
    unlimited: bool = False,
) -> MatchResult:
    """Return whom to offer this to, and who was left out and why. `unlimited`: this step has no radius.

    Presence proposes, the rows dispose: only who wants work at this moment, has a free truck of an open
    kind, room for another offer and has not been told yet is a candidate. Asked under the broadcast's lock.
    """
    keys = searched_kinds(slots)
    near = reach.near if reach else {}
    found = MatchResult(
        excluded=[Excluded(who, PassedOverBecause.SILENT) for who in reach.stale] if reach else []
    )
    # Within a radius, those whom presence has not heard again yet may drive into the ring. Of everyone, it is
    # the rows that say who wants work: silence would lose the customer a truck, an offer too many nobody anything.
    all_who_want_work = reach is None or (unlimited and reach.partial)
    if not keys or not (near or all_who_want_work):
        return found
    places = distances(near)
    query = _with_trucks_of(keys, places.c.km, last_step=last_step, now=now)
    if all_who_want_work:
        query = query.outerjoin(places, places.c.id == Transporter.id).where(Transporter.is_available)
    else:
        query = query.join(places, places.c.id == Transporter.id)
    told = exists().where(Offer.broadcast_id == broadcast.id, Offer.transporter_id == Transporter.id)
    # Where no distance is known, those with the fewest open offers come first: otherwise a surge in one town would fill
    # the lists of transporters in other towns.
    nearest_first = (places.c.km.asc().nulls_last(), "open_offers", Transporter.id)
    for row in session.execute(query.where(~told).order_by(*nearest_first)):
        if not row.is_available:
            found.excluded.append(Excluded(row.id, PassedOverBecause.OFFLINE, row.km))
        elif not row.kinds:
            found.excluded.append(Excluded(row.id, PassedOverBecause.NO_FREE_TRUCK, row.km))
        elif row.open_offers >= settings().max_open_offers:
            found.excluded.append(Excluded(row.id, PassedOverBecause.TOO_MANY_OFFERS, row.km))
        else:
            found.candidates.append(Candidate(row.id, row.km, row.kinds))
    found.excluded.sort(key=lambda each: (each.distance_km is None, each.distance_km or 0.0))
    return found


def distances(km_by_transporter: Mapping[UUID, float | None]) -> TableValuedAlias:
    """Return a table for use in a query: `id` of a transporter, `km` from the pickup (null: not known)."""
    ids = literal(list(km_by_transporter), ARRAY(Uuid()))
    km: ColumnElement[Any] = literal(list(km_by_transporter.values()), ARRAY(Double()))
    table = func.unnest(ids, km).table_valued(column("id", Uuid()), column("km", Double()), name="places")
    return table.render_derived()


def already_offered(session: Session, broadcast: Broadcast, slots: Sequence[TruckRequest]) -> list[Candidate]:
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


def _with_trucks_of(
    keys: set[str], km: ColumnElement[float], *, last_step: bool, now: datetime
) -> Select[UUID, bool, float, Sequence[str], int]:
    """Return a query of transporters with vehicles of these kinds.

    `kinds`: those of which a vehicle is free. `open_offers`: how many of theirs count against a new one from `km` away.
    """
    kinds = func.array_agg(distinct(Vehicle.vehicle_key)).filter(~on_the_road)
    open_offers = open_offers_against(Transporter.id, km, last_step=last_step, now=now)
    return (
        select(
            Transporter.id,
            Transporter.is_available,
            km.label("km"),
            kinds.label("kinds"),
            open_offers.label("open_offers"),
        )
        .select_from(Transporter)
        .join(Vehicle, Vehicle.transporter_id == Transporter.id)
        .where(Vehicle.vehicle_key.in_(keys))
        .group_by(Transporter.id, km)
    )
