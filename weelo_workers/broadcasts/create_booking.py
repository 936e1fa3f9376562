"""Handler: a customer asks for N trucks of one kind."""

from __future__ import annotations

from weelo_workers.broadcasts.creating import open_broadcast
from weelo_workers.contracts.broadcasts import BroadcastView, CreateBooking
from weelo_workers.contracts.statuses import BroadcastKind
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork


@handles(CreateBooking)
def create_booking(command: CreateBooking, uow: UnitOfWork) -> BroadcastView:
    """Return the new broadcast, or the open one if this request repeats it. Raises Rejected(ORDER_ACTIVE_EXISTS)."""
    return open_broadcast(command, BroadcastKind.BOOKING, uow)
