"""What an offer says."""

from __future__ import annotations

from collections.abc import Sequence

from weelo_workers.contracts.broadcasts import NewBroadcast
from weelo_workers.models import Broadcast, TruckRequest
from weelo_workers.queries.views import about, filled, place, requested_vehicles


def new_broadcast(broadcast: Broadcast, slots: Sequence[TruckRequest]) -> NewBroadcast:
    return NewBroadcast(
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
    )
