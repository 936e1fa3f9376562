"""Offers: insert and publish them, and record who was passed over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    DateTime,
    Integer,
    Select,
    Table,
    Uuid,
    any_,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from weelo_workers import broadcast_transitions, presence
from weelo_workers.broadcasts.matching import PLACES, Candidate, Excluded, of_places
from weelo_workers.contracts.broadcasts import NewBroadcast
from weelo_workers.contracts.recipients import OfferedTo, ToOffered
from weelo_workers.contracts.statuses import BroadcastStatus, PassedOverBecause
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.lifecycles.truck_request import FILLED, OPEN
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer, PassedOver, Transporter, TruckRequest
from weelo_workers.models.prepared import prepared
from weelo_workers.queries.open_offers import of_new_offer, open_offers_against
from weelo_workers.queries.relations import is_blocked
from weelo_workers.queries.slots import filled, searching
from weelo_workers.queries.views import broadcast_header, request_fields, requested_vehicles

# The limit on passed-over transporters stored per step. It is high enough that every transporter nearby can learn why
# they got no offer, even in the densest town.
MAX_PASSED_OVER_PER_STEP = 250
MAX_BLOCKED_PER_STEP = 20
"""How many of these rows may be about blocked transporters."""

OFFER_TRANSITION = {
    BroadcastStatus.CREATED: lifecycle.BEGIN,
    BroadcastStatus.ACTIVE: lifecycle.WIDEN_UNFILLED,
    BroadcastStatus.PARTIALLY_FILLED: lifecycle.WIDEN_PARTLY_FILLED,
}
"""The transition that new offers cause, by status: the first ring leads to `broadcasting`, later ones keep the status."""


def insert_offers(
    uow: UnitOfWork, broadcast: Broadcast, these: Sequence[Candidate], step: int, *, last_step: bool
) -> tuple[list[Candidate], list[Excluded]]:
    """Insert an offer for each candidate who still has room for it.

    Return the candidates who got an offer, and those who did not.

    Other transactions may be inserting offers for the same transporters. Therefore the rows of the transporters are
    locked first (in id order and after the broadcast's row, as in every transaction, so that none deadlocks). A second
    statement in the same round trip counts the open offers and inserts the new ones, so the cap holds exactly. The
    locks last until the commit, so they are taken as late as possible.
    """
    if not these:
        return [], []
    parameters = {
        "offered_broadcast": broadcast.id,
        "offered_in_step": step,
        # The offer gets the version that the broadcast will have after its next transition, which publishes the offer.
        "offered_in_version": broadcast.version + 1,
        "cap": broadcast.policy.max_open_offers,
        "customer": broadcast.customer_id,
        **of_places({candidate.transporter_id: candidate.distance_km for candidate in these}),
        **of_new_offer(broadcast, last_step=last_step, now=uow.now),
    }
    new = set(uow.session.scalars(INSERT_OFFERS, parameters))
    refused = [candidate for candidate in these if candidate.transporter_id not in new]
    inserted = [candidate for candidate in these if candidate.transporter_id in new]
    return inserted, _why_refused(uow, broadcast, refused)


def with_room(uow: UnitOfWork, broadcast: Broadcast, these: Sequence[Candidate]) -> list[Candidate]:
    """Return those of `these` whose list of open offers contains this broadcast or has room for it again.

    `these`: transporters with an offer of the broadcast, open or declined. The rows of those whose offer is declined
    are locked as in `insert_offers`, so their lists cannot exceed the cap.
    """
    declined = [candidate for candidate in these if candidate.declined]
    if not declined:
        return list(these)
    ids = [candidate.transporter_id for candidate in declined]
    uow.session.scalars(_LOCK_TRANSPORTERS, {"ids": ids}).all()
    parameters = {
        "cap": broadcast.policy.max_open_offers,
        "customer": broadcast.customer_id,
        **of_places({candidate.transporter_id: candidate.distance_km for candidate in declined}),
        **of_new_offer(broadcast, last_step=False, now=uow.now),
    }
    room = set(uow.session.scalars(_WITH_ROOM, parameters))
    return [each for each in these if not each.declined or each.transporter_id in room]


def _locking(ids: str) -> Select[UUID]:
    """Return the query that locks the rows of these transporters. `ids`: the name of its parameter with their ids."""
    return (
        select(Transporter.id)
        .where(Transporter.id == any_(bindparam(ids, type_=ARRAY(Uuid()))))
        .order_by(Transporter.id)
        .with_for_update(key_share=True)
    )


_LOCK_TRANSPORTERS = _locking("ids").execution_options(**prepared("lock_transporters"))
_OPEN_OFFERS = open_offers_against(PLACES)
_PLACES_WITH_OPEN_OFFERS = PLACES.outerjoin(_OPEN_OFFERS, _OPEN_OFFERS.c.transporter_id == PLACES.c.id)
_HAS_ROOM = func.coalesce(_OPEN_OFFERS.c.number, literal_column("0")) < bindparam("cap", type_=Integer())
# A command that blocks a pair locks the transporter's row, too. This condition is evaluated under that lock, so it
# finds every block that was committed before.
_IS_NOT_BLOCKED = ~is_blocked(bindparam("customer", type_=Uuid()), PLACES.c.id)
_WITH_ROOM = select(PLACES.c.id).select_from(_PLACES_WITH_OPEN_OFFERS).where(_HAS_ROOM, _IS_NOT_BLOCKED)
_OFFERS = cast(Table, Offer.__table__)
_NEW_OFFERS = {
    "broadcast_id": bindparam("offered_broadcast", type_=Uuid()),
    "transporter_id": PLACES.c.id,
    "step": bindparam("offered_in_step", type_=Integer()),
    "distance_km": PLACES.c.km,
    "last_step": bindparam("in_last_step", type_=Boolean()),
    "version": bindparam("offered_in_version", type_=Integer()),
    "offered_at": bindparam("now", type_=DateTime(timezone=True)),
}
INSERT_OFFERS = (
    insert(_OFFERS)
    .from_select(
        list(_NEW_OFFERS),
        select(*_NEW_OFFERS.values())
        .select_from(_PLACES_WITH_OPEN_OFFERS)
        .join(Transporter, Transporter.id == PLACES.c.id)
        .where(
            Transporter.is_available,
            _HAS_ROOM,
            _IS_NOT_BLOCKED,
        ),
        include_defaults=False,
    )
    .on_conflict_do_nothing()
    .returning(_OFFERS.c.transporter_id)
    .execution_options(**prepared("insert_offers", after=_locking("places_ids")))
)


def _why_refused(uow: UnitOfWork, broadcast: Broadcast, refused: Sequence[Candidate]) -> list[Excluded]:
    """Return why each candidate was refused.

    Since the search, each of them has gone offline, was blocked, or got other offers that filled the list.
    """
    if not refused:
        return []
    ids = [candidate.transporter_id for candidate in refused]
    blocked = is_blocked(broadcast.customer_id, Transporter.id)
    found = {
        row.id: row
        for row in uow.session.execute(
            select(Transporter.id, Transporter.is_available, blocked.label("is_blocked")).where(
                Transporter.id.in_(ids)
            )
        )
    }

    def why(transporter_id: UUID) -> PassedOverBecause:
        row = found.get(transporter_id)
        if row is not None and row.is_blocked:
            return PassedOverBecause.BLOCKED
        available = row is not None and row.is_available
        return PassedOverBecause.TOO_MANY_OFFERS if available else PassedOverBecause.OFFLINE

    return [Excluded(each.transporter_id, why(each.transporter_id), each.distance_km) for each in refused]


def most_relevant(left_out: Sequence[Excluded]) -> list[Excluded]:
    """Return the transporters to store as passed over by a step, at most 250.

    Transporters at their cap come first, because only with a stored row they get the offer once they have room. Those
    without a free truck come next: if the broadcast gets no truck, these rows decide which reason the customer gets. Of
    those who are blocked only a few are stored: `queries.offer_explanation` finds a block that still exists without
    such a row. Each group is nearest first.
    """
    rank = {PassedOverBecause.TOO_MANY_OFFERS: 0, PassedOverBecause.NO_FREE_TRUCK: 1}
    new = [each for each in left_out if not each.recorded]
    blocked = [each for each in new if each.because == PassedOverBecause.BLOCKED]
    others = [each for each in new if each.because != PassedOverBecause.BLOCKED]
    most = sorted(others, key=lambda each: rank.get(each.because, 2))
    return [*blocked[:MAX_BLOCKED_PER_STEP], *most][:MAX_PASSED_OVER_PER_STEP]


class BroadcastStep(NamedTuple):
    """A step of the ladder of one broadcast. `round`: how many new rounds of the broadcast had begun."""

    broadcast_id: UUID
    round: int
    step: int


def record_passed_over(uow: UnitOfWork, passed_over: Iterable[tuple[BroadcastStep, Excluded]]) -> None:
    """Store which transporters a step passed over, and why. Entries with `recorded` are left out.

    If a reason is stored already for a transporter in this step, the stored reason is kept.
    """
    rows = [
        {
            **at_step._asdict(),
            "transporter_id": each.transporter_id,
            "reason": each.because,
            "distance_km": each.distance_km,
            "at": uow.now,
        }
        # The rows are inserted in a fixed order, so that two transactions that store the same rows cannot deadlock.
        for at_step, each in sorted(passed_over, key=lambda one: (one[0], one[1].transporter_id))
        if not each.recorded
    ]
    if rows:
        uow.session.execute(insert(PassedOver).on_conflict_do_nothing(), rows)


def advance_ring(
    uow: UnitOfWork,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    candidates: Sequence[Candidate],
    *,
    why: dict[str, Any],
    **columns: Any,
) -> None:
    """Move the broadcast along its lifecycle, and publish the offers that were inserted for these candidates."""
    broadcast_transitions.advance_and_announce(
        uow,
        broadcast,
        OFFER_TRANSITION[BroadcastStatus(broadcast.status)],
        slots,
        why={**why, "told": len(candidates)},
        transporters_notified=broadcast.transporters_notified + len(candidates),
        **columns,
    )
    if candidates:
        seconds_left = (broadcast.expires_at - uow.now).total_seconds()
        ids = [candidate.transporter_id for candidate in candidates]
        uow.after_commit(partial(presence.mark_offered, broadcast.id, ids, seconds_left))
        offer_to(uow, broadcast, slots, candidates)


def offer_to(
    uow: UnitOfWork, broadcast: Broadcast, slots: Sequence[TruckRequest], these: Sequence[Candidate]
) -> None:
    """Publish the offer to each of these transporters, with their distance and the slots for which they have trucks."""
    by_kind: dict[str, list[UUID]] = defaultdict(list)
    for slot in searching(slots):
        by_kind[slot.vehicle_key].append(slot.id)
    # Single slots may be cancelled or expire while the broadcast goes on. They are not requested any more.
    requested = [slot for slot in slots if slot.status in OPEN | FILLED]
    uow.publish(
        NewBroadcast(
            **broadcast_header(broadcast),
            **request_fields(broadcast),
            requested_vehicles=requested_vehicles(requested),
            trucks_needed=broadcast.trucks_needed,
            trucks_filled=filled(slots),
            expires_at=broadcast.expires_at,
            radius_step=broadcast.radius_step,
        ),
        ToOffered(
            slots={kind: tuple(slot_ids) for kind, slot_ids in by_kind.items()},
            offered={
                each.transporter_id: OfferedTo(
                    km=each.distance_km, kinds=tuple(each.kinds), gave_back=each.gave_back
                )
                for each in these
            },
        ),
    )
