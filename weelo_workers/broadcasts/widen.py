"""The next ring hears of a broadcast (timer)."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.dialects.postgresql import insert

from weelo_workers import moves
from weelo_workers.broadcasts.matching import Candidate, candidates, reached
from weelo_workers.broadcasts.telling import offer_to
from weelo_workers.contracts.broadcasts import WidenBroadcast
from weelo_workers.contracts.statuses import BroadcastStatus
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.lifecycles.ladder import Ring, ring
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer, TruckRequest
from weelo_workers.queries.views import searching
from weelo_workers.settings import settings


@handles(WidenBroadcast)
def widen(command: WidenBroadcast, uow: UnitOfWork) -> None:
    """Offer the broadcast to those whom this ring reaches and who have not heard of it, nearest first."""
    this_ring = ring(command.step, settings().radius_steps_km)
    asked = uow.session.get(Broadcast, command.broadcast_id)
    if this_ring is None or asked is None:
        return
    # Redis is asked before the lock, so that an accept need not wait for it: where it is looked never changes.
    near = reached(asked, moves.slots_of(uow, asked.id), this_ring.radius_km)

    broadcast = uow.lock(Broadcast, command.broadcast_id)
    if broadcast is None or not _is_due(broadcast, command, uow):
        return
    slots = moves.slots_of(uow, broadcast.id)
    next_step_at = uow.now + timedelta(seconds=settings().radius_step_seconds)
    if broadcast.status != BroadcastStatus.CREATED and not searching(slots):
        # All that is open is on hold: there is nothing to offer, so this ring waits for its turn.
        uow.send(command, at=next_step_at)
        return
    found = candidates(uow.session, broadcast, slots, near, settings().max_offers_per_step)
    told = _offer(uow, broadcast, this_ring, found)
    _step(uow, broadcast, this_ring, slots, told)
    if told:
        offer_to(uow, broadcast, slots, told)
    if broadcast.status == BroadcastStatus.BROADCASTING:
        moves.step(uow, broadcast, lifecycle.ACTIVATE, slots)
    if ring(command.step + 1, settings().radius_steps_km) and next_step_at < broadcast.expires_at:
        uow.send(WidenBroadcast(broadcast_id=broadcast.id, step=command.step + 1), at=next_step_at)


def _is_due(broadcast: Broadcast, command: WidenBroadcast, uow: UnitOfWork) -> bool:
    """Open, not past its deadline, and not told this step before: a stale or second timer does nothing."""
    return (
        broadcast.status in lifecycle.OPEN
        and broadcast.radius_step == command.step - 1
        and uow.now < broadcast.expires_at
    )


def _offer(uow: UnitOfWork, broadcast: Broadcast, this_ring: Ring, found: list[Candidate]) -> list[Candidate]:
    """Make them recipients. Who is one already is left out by the table, whatever the search said."""
    if not found:
        return []
    rows = [
        {
            "broadcast_id": broadcast.id,
            "transporter_id": candidate.transporter_id,
            "step": this_ring.step,
            "distance_km": candidate.distance_km,
            # The offer is part of the transition that follows.
            "version": broadcast.version + 1,
            "offered_at": uow.now,
        }
        for candidate in found
    ]
    new = set(
        uow.session.scalars(
            insert(Offer).values(rows).on_conflict_do_nothing().returning(Offer.transporter_id)
        )
    )
    return [candidate for candidate in found if candidate.transporter_id in new]


def _step(
    uow: UnitOfWork, broadcast: Broadcast, this_ring: Ring, slots: list[TruckRequest], told: list[Candidate]
) -> None:
    transition = {
        BroadcastStatus.CREATED: lifecycle.BEGIN,
        BroadcastStatus.ACTIVE: lifecycle.WIDEN_UNFILLED,
        BroadcastStatus.PARTIALLY_FILLED: lifecycle.WIDEN_PARTLY_FILLED,
    }[BroadcastStatus(broadcast.status)]
    moves.step(
        uow,
        broadcast,
        transition,
        slots,
        why={"step": this_ring.step, "radiusKm": this_ring.radius_km, "told": len(told)},
        radius_step=this_ring.step,
        radius_km=this_ring.radius_km,
        transporters_notified=broadcast.transporters_notified + len(told),
    )
