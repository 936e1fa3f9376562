"""Offers a broadcast in rings: in the first when it is created, in each further ring when its timer is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import exists, select

from weelo_workers import broadcast_transitions, presence
from weelo_workers.broadcast_transitions import next_step
from weelo_workers.broadcasts.matching import (
    UNTIL_NEXT_STEP,
    Excluded,
    MatchResult,
    find_candidates,
    search_contracted,
    search_presence,
)
from weelo_workers.broadcasts.offering import (
    BroadcastStep,
    advance_ring,
    insert_offers,
    most_relevant,
    record_passed_over,
)
from weelo_workers.contracts.statuses import BroadcastStatus, PassedOverBecause
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.lifecycles.ladder import CONTRACTED_STEP, Ring, next_step_in, ring
from weelo_workers.lifecycles.offer_order import StepLimits
from weelo_workers.lifecycles.policy import Policy
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer, Transporter, TruckRequest
from weelo_workers.queries.relations import contracted_transporters, is_contracted

SearchedRings = Sequence[tuple[Ring, presence.SearchResult | None]]
"""Rings with what presence has found in each; None if Redis does not answer."""


def search_rings(
    uow: UnitOfWork, broadcast: Broadcast, slots: Sequence[TruckRequest], step: int
) -> SearchedRings:
    """Search presence in this ring. If no transporter there has a free truck, search the next ring, and so on.

    Step 0 is left out if the customer has no contract with a transporter.

    Return each ring with its result. The widest ring searched covers the others, so only its result contains the
    transporters whose trucks are all on the road. Called when no accept can be waiting for the broadcast's lock,
    because Redis may be slow.
    """
    searched = list[tuple[Ring, presence.SearchResult | None]]()
    policy = broadcast.policy
    if step == CONTRACTED_STEP:
        step += 1
        if contracted := contracted_transporters(uow.session, broadcast.customer_id):
            found = search_contracted(contracted, broadcast)
            searched.append((ring(CONTRACTED_STEP, policy.radius_steps_km), found))
            if found.near:
                return searched
    while True:
        this = ring(step, policy.radius_steps_km, policy.last_step_max_km)
        online = search_presence(broadcast, slots, this)
        # With MIN_OFFERS_PER_STEP = 0 no further ring is searched now: the next step comes after the usual time, even
        # if this ring is empty.
        if this.last or online is None or online.near or policy.min_offers_per_step == 0:
            return [*searched, (this, online)]
        searched.append((this, replace(online, busy={})))
        step += 1


def offer_in_rings(
    uow: UnitOfWork,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    searched: SearchedRings,
    *,
    note: str | None = None,
) -> None:
    """Offer the broadcast in these rings, until one has MIN_OFFERS_PER_STEP new offers. Set the next timer.

    `note`: the words of an operator, for the history.
    """
    for this, online in searched:
        seconds = _offer_within(uow, broadcast, slots, this, online, note)
        if seconds != 0:
            break
    if seconds is not None and (next_at := uow.now + timedelta(seconds=seconds)) < broadcast.expires_at:
        uow.send(next_step(broadcast), at=next_at)


def _offer_within(
    uow: UnitOfWork,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    this: Ring,
    online: presence.SearchResult | None,
    note: str | None,
) -> float | None:
    """Offer the broadcast within one ring. Return the seconds until the next ring; None if there is none."""
    policy = broadcast.policy
    found = find_candidates(
        uow.session,
        broadcast,
        slots,
        online,
        uow.now,
        last_step=this.last,
        unlimited=this.last and this.reach.is_everyone,
    )
    left_over = found.keep_first(_limits(policy, this))
    offered, refused = insert_offers(uow, broadcast, found.candidates, this.step, last_step=this.last)
    left_out = [*found.excluded, *refused]
    at_step = BroadcastStep(broadcast.id, broadcast.reoffer_rounds, this.step)
    record_passed_over(uow, [(at_step, each) for each in most_relevant(left_out)])
    _mark_waiting(uow, broadcast, left_out)
    if this.last and online is not None and online.more:
        left_over = True
    advance_ring(
        uow,
        broadcast,
        slots,
        offered,
        why={
            "step": this.step,
            "radiusKm": this.reach.limit_km,
            "passedOver": _counted(left_out),
            **broadcast_transitions.reason_details(None, note),
        },
        **_columns(uow, broadcast, this, _reached(broadcast, this, found, left_over=left_over)),
    )
    if broadcast.status == BroadcastStatus.BROADCASTING:
        broadcast_transitions.advance_and_announce(uow, broadcast, lifecycle.ACTIVATE, slots)
    return next_step_in(
        this,
        offers_made=len(offered) or (this.is_for_contracted and _some_contracted_have_it(uow, broadcast)),
        left_over=left_over,
        at_least=policy.min_offers_per_step,
        step_seconds=policy.radius_step_seconds,
        contracted_first_seconds=policy.contracted_first_seconds,
    )


def _limits(policy: Policy, this: Ring) -> StepLimits:
    """Return the limits on the offers of this step. Step 0, for contracted transporters, has no soft cap."""
    return StepLimits(
        at_most=policy.max_offers_per_step,
        soft_cap=None if this.is_for_contracted else policy.soft_open_offers,
        fill_to=policy.min_offers_per_step,
    )


def _columns(uow: UnitOfWork, broadcast: Broadcast, this: Ring, reached: Reach) -> dict[str, Any]:
    """Return the columns of the broadcast that say which step was made, and how far it reaches."""
    if this.is_for_contracted:
        lasts = timedelta(seconds=broadcast.policy.contracted_first_seconds)
        return {"contracted_until": uow.now + lasts}
    return {"radius_step": this.step, "radius_km": reached.limit_km}


def _some_contracted_have_it(uow: UnitOfWork, broadcast: Broadcast) -> bool:
    """Return whether contracted transporters who want work have the offer already, from an earlier round."""
    if broadcast.reoffer_rounds == 0:
        return False
    have_it = (
        exists()
        .where(Offer.broadcast_id == broadcast.id, Offer.declined_at.is_(None))
        .where(Transporter.id == Offer.transporter_id, Transporter.is_available)
        .where(is_contracted(broadcast.customer_id, Offer.transporter_id))
    )
    return bool(uow.session.scalar(select(have_it)))


def _reached(broadcast: Broadcast, this: Ring, found: MatchResult, *, left_over: bool) -> Reach:
    """Return how far this step reaches.

    A ring with a radius reaches that radius, and the last portion of the last step reaches the limit of that step. An
    earlier portion reaches as far as the farthest candidate of the portions so far. A transporter who comes online
    farther away gets no late offer, because a later portion makes the offer.
    """
    if not (this.last and left_over):
        return this.reach
    farthest = max(each.distance_km or 0.0 for each in found.candidates) if found.candidates else 0.0
    return Reach.within(max(broadcast.policy.radius_steps_km[-1], broadcast.reach.limit_km or 0.0, farthest))


def _counted(left_out: Sequence[Excluded]) -> dict[str, int]:
    """Return how many transporters the step passed over, by reason. Those for whom no row is stored are counted, too.

    Presence returns a limited number of transporters on the road, so their count is at most that number. Blocked
    transporters are not counted: the customer gets these numbers, and must not learn that a transporter has blocked
    them.
    """
    blocked = PassedOverBecause.BLOCKED
    return dict(Counter(each.because.value for each in left_out if each.because != blocked))


def _mark_waiting(uow: UnitOfWork, broadcast: Broadcast, left_out: list[Excluded]) -> None:
    """Mark the broadcast in presence as offered to the transporters who are excluded until the next step.

    They are within the ring, so otherwise their heartbeats would cause late offers before the next step.
    """
    waiting = [each.transporter_id for each in left_out if each.because in UNTIL_NEXT_STEP]
    if waiting:
        left = (broadcast.expires_at - uow.now).total_seconds()
        uow.after_commit(partial(presence.mark_offered, broadcast.id, waiting, left))
