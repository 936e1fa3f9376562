"""An offer: what it says, and to whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from weelo_workers.broadcasts.matching import Candidate
from weelo_workers.contracts.broadcasts import NewBroadcast
from weelo_workers.contracts.statuses import TruckRequestStatus
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, TruckRequest
from weelo_workers.queries.views import about, filled, place, requested_vehicles


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
