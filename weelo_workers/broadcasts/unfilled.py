"""The reason that a customer gets for a broadcast that ended without a truck."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import exists, select

from weelo_workers import broadcast_transitions, presence
from weelo_workers.broadcasts.matching import pickup_of
from weelo_workers.contracts.statuses import PassedOverBecause, UnfilledBecause
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer, PassedOver, Transporter, Vehicle, vehicle_busy
from weelo_workers.models.fleet import of_kinds
from weelo_workers.queries.relations import blocked_transporters, is_blocked
from weelo_workers.queries.slots import kinds_of

# The limit on searches per call. A search that finds only stale transporters removes them from the index and is
# repeated.
MAX_SEARCHES = 5


def any_transporter_online(uow: UnitOfWork, broadcast: Broadcast) -> bool:
    """Return whether any transporter with a fitting truck, free or on the road, is online within reach.

    Transporters who are blocked do not count, because a customer must not learn that a transporter has blocked them.
    Reads Redis, so it is called before anything is locked. If Redis does not answer, every available transporter with
    such a truck on the road counts as online and within reach.
    """
    kinds, reach = kinds_of(broadcast_transitions.slots_of(uow, broadcast.id)), broadcast.reach
    if reach.is_nothing:
        reach = Reach.everyone()  # before the first step, distance excludes no transporter
    try:
        return _is_any_in_presence(uow, broadcast, kinds, reach)
    except presence.PresenceUnavailable:
        on_the_road = exists().where(
            Vehicle.transporter_id == Transporter.id,
            Transporter.is_available,
            of_kinds(kinds),
            vehicle_busy,
            ~is_blocked(broadcast.customer_id, Transporter.id),
        )
        return bool(uow.session.scalar(select(on_the_road)))


def _is_any_in_presence(uow: UnitOfWork, broadcast: Broadcast, kinds: Collection[str], reach: Reach) -> bool:
    blocked: set[UUID] = set()
    for _ in range(MAX_SEARCHES):
        found = presence.nearest(kinds, pickup_of(broadcast), 1 + len(blocked), reach)
        online = {*found.near, *found.busy}
        if online and not blocked:
            blocked = blocked_transporters(uow.session, broadcast.customer_id)
        if online - blocked:
            return True
        if not found.more:
            break
    return False


def unfilled_reason(uow: UnitOfWork, broadcast: Broadcast, *, online: bool) -> UnfilledBecause:
    """Return why a broadcast got no truck. `online`: whether a fitting transporter was online within reach.

    NOBODY_ACCEPTED means that an offer was made. NOBODY_FREE means that no offer was made, although a fitting
    transporter was online, or a step passed over a transporter without room or a free truck.
    """
    if uow.session.scalar(select(exists().where(Offer.broadcast_id == broadcast.id))):
        return UnfilledBecause.NOBODY_ACCEPTED
    had_no_room = exists().where(
        PassedOver.broadcast_id == broadcast.id,
        PassedOver.reason.in_({PassedOverBecause.TOO_MANY_OFFERS, PassedOverBecause.NO_FREE_TRUCK}),
    )
    if online or uow.session.scalar(select(had_no_room)):
        return UnfilledBecause.NOBODY_FREE
    return UnfilledBecause.NO_TRANSPORTER_ONLINE
