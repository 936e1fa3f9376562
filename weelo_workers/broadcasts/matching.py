"""Matching: which transporters are within reach (from presence), want work and have a free truck (from the database)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Double,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    column,
    distinct,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.orm import Session

from weelo_workers import presence
from weelo_workers.contracts.statuses import PassedOverBecause
from weelo_workers.lifecycles import ladder
from weelo_workers.lifecycles.offer_order import StepLimits, choose
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.models import (
    Broadcast,
    Offer,
    PassedOver,
    Relation,
    Transporter,
    TruckRequest,
    Vehicle,
    slots_given_back,
    vehicle_busy,
)
from weelo_workers.models.fleet import of_kinds
from weelo_workers.models.prepared import prepared
from weelo_workers.queries.open_offers import of_new_offer, open_offers_against
from weelo_workers.queries.relations import is_blocked
from weelo_workers.queries.slots import kinds_of, searching

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    transporter_id: UUID
    distance_km: float | None
    """The distance from the pickup; None if the transporter's position is not known."""
    kinds: tuple[str, ...]
    """The kinds that the broadcast still needs and of which the fleet has a free truck."""
    gave_back: tuple[UUID, ...] = ()
    """The slots of the broadcast that the fleet gave back. They are not offered to it again."""
    declined: bool = False
    """Whether the system declined an earlier offer of the broadcast for the transporter."""
    preferred: bool = False
    """Whether the customer prefers the transporter."""
    last_offered_at: datetime | None = None
    """The time of the transporter's last offer of any broadcast; None without one."""
    open_offers: int = 0
    """How many open offers of the transporter count against an offer of the broadcast."""


@dataclass(frozen=True, slots=True)
class Excluded:
    transporter_id: UUID
    because: PassedOverBecause
    distance_km: float | None = None
    recorded: bool = False
    """Whether the newest stored row for this broadcast and transporter has this reason. Then no new row is stored."""


UNTIL_NEXT_STEP = frozenset({PassedOverBecause.NEXT_STEP, PassedOverBecause.SOFT_CAP})
"""The reasons of a step for excluding candidates who are considered again in the next step."""


@dataclass(slots=True)
class MatchResult:
    """The candidates for an offer of a broadcast, in any order, and the excluded transporters, nearest first."""

    candidates: list[Candidate] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)

    def keep_first(self, limits: StepLimits) -> bool:
        """Keep the candidates to whom the step offers, and exclude the others until the next step.

        Afterwards the candidates are in the order in which they get the offer. Return whether any was excluded.
        """
        choice = choose(self.candidates, limits)
        self.candidates = choice.chosen
        for others, because in (
            (choice.next_step, PassedOverBecause.NEXT_STEP),
            (choice.at_soft_cap, PassedOverBecause.SOFT_CAP),
        ):
            self.excluded += [Excluded(each.transporter_id, because, each.distance_km) for each in others]
        return bool(choice.next_step or choice.at_soft_cap)


def pickup_of(broadcast: Broadcast) -> presence.Point:
    return presence.Point(broadcast.pickup["latitude"], broadcast.pickup["longitude"])


def search_presence(
    broadcast: Broadcast, slots: Sequence[TruckRequest], this: ladder.Ring
) -> presence.SearchResult | None:
    """Return the transporters in presence within this ring who have a truck for a slot; None if Redis does not answer.

    Called before anything is locked, because Redis may be slow to answer.
    """
    kinds, pickup = kinds_of(slots), pickup_of(broadcast)
    try:
        if not this.last:
            return presence.search(kinds, pickup, this.reach)
        count = ladder.portion_size(
            this.step,
            broadcast.policy.radius_steps_km,
            broadcast.policy.max_offers_per_step,
            broadcast.transporters_notified,
        )
        return presence.nearest(kinds, pickup, count, this.reach)
    except presence.PresenceUnavailable as unknown:
        log.info("transporters are searched for without their positions: %s", unknown)
        return None


def search_contracted(contracted: Collection[UUID], broadcast: Broadcast) -> presence.SearchResult:
    """Return which of the contracted transporters are online, at any distance. Called before anything is locked.

    If Redis does not answer, or was emptied recently, the contracted transporters who are not found in it count as
    online at an unknown distance. Whether they want work is later read from their rows.
    """
    everyone: dict[UUID, float | None] = dict.fromkeys(contracted)
    try:
        online = presence.online_within(contracted, pickup_of(broadcast), Reach.everyone())
        known = len(online) == len(everyone) or presence.is_warm()
    except presence.PresenceUnavailable as unknown:
        log.info("contracted transporters are searched for without their positions: %s", unknown)
        return presence.SearchResult(everyone)
    return presence.SearchResult(online if known else everyone | online)


def find_candidates(
    session: Session,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    online: presence.SearchResult | None,
    now: datetime,
    *,
    last_step: bool,
    unlimited: bool = False,
) -> MatchResult:
    """Return the candidates for an offer, and the excluded transporters. `unlimited`: the step has no radius.

    Presence only proposes transporters. According to the rows, a candidate must want work now, have a free truck for an
    open slot, have room for another offer and have no offer of this broadcast yet. The customer and the candidate must
    not block one another. Called under the broadcast's lock.
    """
    kinds = kinds_of(searching(slots))
    near = {**online.near, **online.busy} if online else {}
    found = MatchResult(
        excluded=[Excluded(stale_id, PassedOverBecause.SILENT) for stale_id in online.stale] if online else []
    )
    # `partial`: Redis was emptied, so presence lacks transporters. After a step with a radius, the missing transporters
    # get late offers with their next heartbeats. In a step without a radius, all transporters who want work are read
    # from the database: a missing offer can cost the customer a truck, but an offer to an absent transporter costs
    # nothing.
    all_who_want_work = online is None or (unlimited and online.partial)
    if not kinds or not (near or all_who_want_work):
        return found
    parameters = {
        "broadcast": broadcast.id,
        "customer": broadcast.customer_id,
        "kinds": list(kinds),
        **of_places(near),
        **of_new_offer(broadcast, last_step=last_step, now=now),
    }
    cap = broadcast.policy.max_open_offers
    query = _ALL_WHO_WANT_WORK if all_who_want_work else THOSE_IN_PRESENCE
    for row in session.execute(query, parameters):
        if row.is_blocked:
            blocked = PassedOverBecause.BLOCKED
            found.excluded.append(Excluded(row.id, blocked, row.km, recorded=row.newest_reason == blocked))
        elif not row.is_available:
            found.excluded.append(Excluded(row.id, PassedOverBecause.OFFLINE, row.km))
        elif not row.kinds:
            busy = PassedOverBecause.NO_FREE_TRUCK
            found.excluded.append(Excluded(row.id, busy, row.km, recorded=row.newest_reason == busy))
        elif row.open_offers >= cap:
            found.excluded.append(Excluded(row.id, PassedOverBecause.TOO_MANY_OFFERS, row.km))
        else:
            found.candidates.append(
                Candidate(
                    row.id,
                    row.km,
                    row.kinds,
                    preferred=row.preferred,
                    last_offered_at=row.last_offered_at,
                    open_offers=row.open_offers,
                )
            )
    found.excluded.sort(key=lambda each: (each.distance_km is None, each.distance_km or 0.0))
    return found


PLACES = (
    func.unnest(bindparam("places_ids", type_=ARRAY(Uuid())), bindparam("places_km", type_=ARRAY(Double())))
    .table_valued(column("id", Uuid()), column("km", Double()), name="places")
    .render_derived()
)
"""Distances as a table for use in a query: `id` of a transporter, `km` from the pickup (null if it is not known)."""


def of_places(km_by_transporter: Mapping[UUID, float | None]) -> dict[str, Any]:
    """Return the query parameters of the table PLACES: the ids of these transporters, and their distances."""
    return {"places_ids": list(km_by_transporter), "places_km": list(km_by_transporter.values())}


def already_offered(
    session: Session, broadcast: Broadcast, slot: TruckRequest, *, new_round: bool
) -> list[Candidate]:
    """Return the transporters who have an offer of this broadcast and could take this reopened slot now.

    Transporters who declined, who gave the slot back or who are blocked are left out. With `new_round`, transporters whose offer is
    marked as `may_be_offered_again` are included although it is declined.
    """
    gave_back = slots_given_back(Offer.broadcast_id, Offer.transporter_id).scalar_subquery()
    not_declined = Offer.declined_at.is_(None)
    rows = session.execute(
        select(
            Offer.transporter_id,
            Offer.distance_km,
            func.array_agg(distinct(Vehicle.vehicle_key)).label("kinds"),
            func.array(gave_back).label("gave_back"),
            Offer.declined_at,
        )
        .join(Transporter, and_(Transporter.id == Offer.transporter_id, Transporter.is_available))
        .join(Vehicle, Vehicle.transporter_id == Offer.transporter_id)
        .where(
            Offer.broadcast_id == broadcast.id,
            or_(not_declined, Offer.may_be_offered_again) if new_round else not_declined,
            of_kinds(kinds_of([slot])),
            ~vehicle_busy,
            ~is_blocked(broadcast.customer_id, Offer.transporter_id),
        )
        .group_by(Offer.broadcast_id, Offer.transporter_id, Offer.distance_km, Offer.declined_at)
    )
    return [
        Candidate(
            row.transporter_id,
            row.distance_km,
            row.kinds,
            tuple(row.gave_back),
            declined=row.declined_at is not None,
        )
        for row in rows
        if slot.id not in row.gave_back
    ]


def _with_trucks(
    these: Select[UUID, float],
) -> Select[UUID, bool, float, Sequence[str], int, bool, str, bool, datetime]:
    """Return a query for transporters in `these` who have a vehicle of the right kinds and no offer of the broadcast.

    `these`: transporters with their distances from the pickup (`km`). The rows are in any order.

    Six of the columns are computed. `kinds`: the kinds of which a vehicle is free. `open_offers`: how many of the
    transporter's offers count against an offer of this broadcast. `is_blocked`: whether the customer and the transporter
    block one another. `newest_reason`: the reason of the newest step that passed them over; null if they have a free
    vehicle and are not blocked. `preferred`: whether the customer prefers them. `last_offered_at`: the time of their last
    offer of any broadcast.
    """
    broadcast = bindparam("broadcast", type_=Uuid())
    has_offer = exists().where(Offer.broadcast_id == broadcast, Offer.transporter_id == Transporter.id)
    without_offer = these.where(~has_offer).cte("without_offer")
    open_offers = open_offers_against(without_offer)
    blocked = is_blocked(bindparam("customer", type_=Uuid()), Transporter.id)
    free_kinds = func.array_agg(distinct(Vehicle.vehicle_key)).filter(~vehicle_busy)
    newest_reason = (
        select(PassedOver.reason)
        .where(PassedOver.broadcast_id == broadcast, PassedOver.transporter_id == Transporter.id)
        .order_by(PassedOver.round.desc(), PassedOver.step.desc())
        .limit(1)
        .scalar_subquery()
    )
    # The customer's preferred transporters are read once, and not once for each candidate.
    preferred = func.array(
        select(Relation.transporter_id)
        .where(
            Relation.customer_id == bindparam("customer", type_=Uuid()), Relation.preferred_at.is_not(None)
        )
        .scalar_subquery()
    )
    last_offered_at = (
        select(func.max(Offer.offered_at))
        .where(Offer.transporter_id == Transporter.id)
        .correlate(Transporter)
        .scalar_subquery()
    )
    return (
        select(
            Transporter.id,
            Transporter.is_available,
            without_offer.c.km,
            free_kinds.label("kinds"),
            func.coalesce(open_offers.c.number, literal_column("0")).label("open_offers"),
            blocked.label("is_blocked"),
            case((or_(free_kinds.is_(None), blocked), newest_reason)).label("newest_reason"),
            (Transporter.id == any_(preferred)).label("preferred"),
            last_offered_at.label("last_offered_at"),
        )
        .select_from(without_offer)
        .join(Transporter, Transporter.id == without_offer.c.id)
        .join(Vehicle, Vehicle.transporter_id == Transporter.id)
        .outerjoin(open_offers, open_offers.c.transporter_id == Transporter.id)
        .where(_OF_THESE_KINDS)
        .group_by(Transporter.id, without_offer.c.km, open_offers.c.number)
    )


_OF_THESE_KINDS = of_kinds(bindparam("kinds", type_=ARRAY(Text())))
_TRANSPORTERS = select(Transporter.id, PLACES.c.km).select_from(Transporter)
THOSE_IN_PRESENCE = _with_trucks(_TRANSPORTERS.join(PLACES, PLACES.c.id == Transporter.id)).execution_options(
    **prepared("match_presence")
)
_ALL_WHO_WANT_WORK = _with_trucks(
    _TRANSPORTERS.outerjoin(PLACES, PLACES.c.id == Transporter.id).where(
        Transporter.is_available, exists().where(Vehicle.transporter_id == Transporter.id, _OF_THESE_KINDS)
    )
)
