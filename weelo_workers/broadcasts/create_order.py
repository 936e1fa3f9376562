"""Handler: a customer asks for trucks of several kinds."""

from __future__ import annotations

from weelo_workers.broadcasts.creating import open_broadcast
from weelo_workers.contracts.broadcasts import BroadcastView, CreateOrder
from weelo_workers.contracts.statuses import BroadcastKind
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork


@handles(CreateOrder)
def create_order(command: CreateOrder, uow: UnitOfWork) -> BroadcastView:
    """Return the new broadcast, or the open one if this request repeats it. Raises Rejected(ORDER_ACTIVE_EXISTS)."""
    return open_broadcast(command, BroadcastKind.ORDER, uow)
