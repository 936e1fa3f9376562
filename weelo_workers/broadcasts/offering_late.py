"""Makes late offers to transporters whom the rings of a broadcast did not reach, or whom a step passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from weelo_workers import broadcast_transitions, presence
from weelo_workers.broadcasts.matching import Candidate, Excluded, find_candidates
from weelo_workers.broadcasts.offering import (
    OFFER_TRANSITION,
    BroadcastStep,
    advance_ring,
    insert_offers,
    record_passed_over,
)
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast
from weelo_workers.queries.open_offers import in_last_step
from weelo_workers.queries.relations import contracted_transporters


@dataclass(frozen=True, slots=True)
class LateOffers:
    """The result of `offer_late_to`. The broadcast in it stays locked until the commit."""

    broadcast: Broadcast
    offered: list[Candidate]
    excluded: list[Excluded]


def offer_late_to(
    uow: UnitOfWork, broadcast_id: UUID, km_by_transporter: Mapping[UUID, float | None]
) -> LateOffers | None:
    """Offer the broadcast to the transporters who are within its reach, can take it and have room for it.

    The soft cap does not matter here: a transporter who comes within reach after a step competes with no one for the offer.
    Return None if the broadcast is over, or if none of the transporters is within its reach. `km_by_transporter`: the
    distance of each from the pickup (None: not known).
    """
    broadcast = uow.lock(Broadcast, broadcast_id)
    if broadcast is None or broadcast.status not in OFFER_TRANSITION or uow.now >= broadcast.expires_at:
        return None
    near = _within_reach(uow, broadcast, km_by_transporter)
    if not near:
        return None
    slots, step, last_step = (
        broadcast_transitions.slots_of(uow, broadcast.id),
        broadcast.radius_step,
        in_last_step(broadcast),
    )
    found = find_candidates(
        uow.session, broadcast, slots, presence.SearchResult(near), uow.now, last_step=last_step
    )
    inserted, refused = insert_offers(uow, broadcast, found.candidates, step, last_step=last_step)
    left_out = [*found.excluded, *refused]
    at_step = BroadcastStep(broadcast.id, broadcast.reoffer_rounds, step)
    record_passed_over(uow, [(at_step, each) for each in left_out])
    if inserted:
        advance_ring(uow, broadcast, slots, inserted, why={"step": step, "late": True})
    return LateOffers(broadcast, inserted, left_out)


def _within_reach(
    uow: UnitOfWork, broadcast: Broadcast, km_by_transporter: Mapping[UUID, float | None]
) -> dict[UUID, float | None]:
    """Return which of the transporters are within reach. In step 0 these are the contracted ones, at any distance."""
    if broadcast.is_for_contracted:
        contracted = contracted_transporters(uow.session, broadcast.customer_id, among=km_by_transporter)
        return {each: km for each, km in km_by_transporter.items() if each in contracted}
    return {each: km for each, km in km_by_transporter.items() if broadcast.reach.covers(km)}
