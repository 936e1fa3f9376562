"""An offer: whom it is made to, what it says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from weelo_workers import moves, presence
from weelo_workers.broadcasts.matching import Candidate
from weelo_workers.contracts.broadcasts import NewBroadcast
from weelo_workers.contracts.statuses import BroadcastStatus, TruckRequestStatus
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer, TruckRequest
from weelo_workers.queries.views import about, filled, place, requested_vehicles

TELLS = {
    BroadcastStatus.CREATED: lifecycle.BEGIN,
    BroadcastStatus.ACTIVE: lifecycle.WIDEN_UNFILLED,
    BroadcastStatus.PARTIALLY_FILLED: lifecycle.WIDEN_PARTLY_FILLED,
}
"""The transition of telling somebody: the first ring begins it, every other leaves it as it is."""


def make_recipients(
    uow: UnitOfWork, broadcast: Broadcast, these: Sequence[Candidate], step: int
) -> list[Candidate]:
    """Who is one already is left out by the table, whatever the search said. Returns the new ones."""
    if not these:
        return []
    rows = [
        {
            "broadcast_id": broadcast.id,
            "transporter_id": candidate.transporter_id,
            "step": step,
            "distance_km": candidate.distance_km,
            # The offer is part of the transition that follows.
            "version": broadcast.version + 1,
            "offered_at": uow.now,
        }
        for candidate in these
    ]
    new = set(
        uow.session.scalars(
            insert(Offer).values(rows).on_conflict_do_nothing().returning(Offer.transporter_id)
        )
    )
    broadcast_id, left = broadcast.id, (broadcast.expires_at - uow.now).total_seconds()
    told = [candidate.transporter_id for candidate in these]
    uow.after_commit(lambda: presence.mark_told(broadcast_id, told, left))
    return [candidate for candidate in these if candidate.transporter_id in new]


def step_on(
    uow: UnitOfWork,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    told: Sequence[Candidate],
    *,
    why: dict[str, Any],
    **columns: Any,
) -> None:
    """A ring, or a late one, has told these."""
    moves.step(
        uow,
        broadcast,
        TELLS[BroadcastStatus(broadcast.status)],
        slots,
        why={**why, "told": len(told)},
        transporters_notified=broadcast.transporters_notified + len(told),
        **columns,
    )
    if told:
        offer_to(uow, broadcast, slots, told)


def offer_to(
    uow: UnitOfWork, broadcast: Broadcast, slots: Sequence[TruckRequest], these: Sequence[Candidate]
) -> None:
    """Each hears how far it is and which slots they have free trucks for."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for slot in slots:
        if slot.status == TruckRequestStatus.SEARCHING:
            by_kind[slot.vehicle_key].append(str(slot.id))
    uow.publish(
        NewBroadcast(
            **about(broadcast),
            pickup=place(broadcast.pickup),
            drop=place(broadcast.drop),
            distance_km=broadcast.distance_km,
            goods_type=broadcast.goods_type,
            requested_vehicles=requested_vehicles(slots),
            trucks_needed=broadcast.trucks_needed,
            trucks_filled=filled(slots),
            expires_at=broadcast.expires_at,
            radius_step=broadcast.radius_step,
        ),
        slots=by_kind,
        offered={str(each.transporter_id): {"km": each.distance_km, "kinds": each.kinds} for each in these},
    )
