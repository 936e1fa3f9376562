"""Handler: a customer cancels a broadcast. Even if an accept runs at the same time, no truck stays assigned."""

from __future__ import annotations

from weelo_workers.broadcasts.cancelling import cancel_broadcast
from weelo_workers.contracts.broadcasts import CancelBroadcast, CancelResult
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.ownership import lock_own_broadcast


@handles(CancelBroadcast)
def cancel(command: CancelBroadcast, uow: UnitOfWork) -> CancelResult:
    """Cancel the broadcast with its slots, holds and assignments, and notify its transporters and drivers.

    Raises Rejected(BOOKING_CANNOT_CANCEL) once a truck has set out or the broadcast has ended.
    """
    broadcast = lock_own_broadcast(uow, command.broadcast_id, command.customer_id, command.kind)
    return cancel_broadcast(uow, broadcast, reason_code=command.reason_code, note=command.reason)
