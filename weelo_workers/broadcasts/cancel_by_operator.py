"""Handler: an operator cancels a customer's broadcast, under the same rules as the customer."""

from __future__ import annotations

from weelo_workers.broadcasts.cancelling import cancel_broadcast
from weelo_workers.contracts.broadcasts import CancelByOperator, CancelResult
from weelo_workers.contracts.statuses import BroadcastStatus
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.ownership import lock_any_broadcast

HINT = (
    " End the trips of its trucks with POST /api/v1/assignments/{id}/end, as `failed` if the goods do not arrive: "
    "the last one ends the request."
)


@handles(CancelByOperator)
def cancel_by_operator(command: CancelByOperator, uow: UnitOfWork) -> CancelResult:
    """Cancel the broadcast as its customer would. Customer, transporters and drivers get the same events.

    Raises Rejected: BROADCAST_NOT_FOUND, or BOOKING_CANNOT_CANCEL once a truck has set out or the broadcast has ended.
    """
    broadcast = lock_any_broadcast(uow, command.broadcast_id)
    uow.replayed = broadcast.status == BroadcastStatus.CANCELLED
    return cancel_broadcast(uow, broadcast, note=command.reason, hint=HINT)
