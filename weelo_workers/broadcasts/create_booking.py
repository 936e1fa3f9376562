"""A customer asks for N trucks of one kind."""

from __future__ import annotations

from weelo_workers.broadcasts.creating import open_broadcast
from weelo_workers.contracts.broadcasts import BroadcastView, CreateBooking
from weelo_workers.contracts.statuses import BroadcastKind
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork


@handles(CreateBooking)
def create_booking(command: CreateBooking, uow: UnitOfWork) -> BroadcastView:
    """201 with the new broadcast, or the first tap's; 409 ORDER_ACTIVE_EXISTS if another is open."""
    return open_broadcast(command, BroadcastKind.BOOKING, uow)
