"""Handler: after a broadcast has ended, offer its transporters another broadcast for which they had no room."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from weelo_workers.contracts.broadcasts import Backfill, OfferPassedOver
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.queries.open_offers import kept_out_by


@handles(Backfill)
def backfill(command: Backfill, uow: UnitOfWork) -> None:
    """Send commands that offer each transporter the nearest broadcast that did not fit into their list of offers.

    Only the nearest is offered, because the ended broadcast leaves room for one offer in each transporter's list. So a
    broadcast that ends causes at most as many new offers as it had offers, however many broadcasts are waiting.
    """
    nearest: dict[UUID, UUID] = {}
    for row in kept_out_by(uow.session, command.broadcast_id, uow.now):
        nearest.setdefault(row.transporter_id, row.broadcast_id)
    by_broadcast: dict[UUID, list[UUID]] = defaultdict(list)
    for transporter_id, broadcast_id in nearest.items():
        by_broadcast[broadcast_id].append(transporter_id)
    for broadcast_id, transporter_ids in by_broadcast.items():
        uow.send(OfferPassedOver(broadcast_id=broadcast_id, transporter_ids=tuple(transporter_ids)))
