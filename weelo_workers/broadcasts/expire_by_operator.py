"""Handler: an operator expires an open broadcast before its deadline."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.broadcasts.expiring import any_online, expire_broadcast
from weelo_workers.contracts.broadcasts import BroadcastView, ExpireByOperator
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastStatus
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast
from weelo_workers.ownership import lock_any_broadcast
from weelo_workers.queries.views import broadcast_view


@handles(ExpireByOperator)
def expire_by_operator(command: ExpireByOperator, uow: UnitOfWork) -> BroadcastView:
    """Expire the broadcast now, as its timer would at the deadline. Return it unchanged if it has expired already.

    Raises Rejected: BROADCAST_NOT_FOUND, BROADCAST_CANCELLED, or BROADCAST_FILLED if no slot is open.
    """
    asked = uow.session.get(Broadcast, command.broadcast_id)
    online = asked is not None and any_online(uow, asked)
    broadcast = lock_any_broadcast(uow, command.broadcast_id)
    if broadcast.status == BroadcastStatus.EXPIRED:
        uow.replayed = True
        slots = broadcast_transitions.slots_of(uow, broadcast.id)
    elif broadcast.status in lifecycle.EXPIRE.when:
        slots = expire_broadcast(uow, broadcast, online=online, note=command.reason)
    elif broadcast.status == BroadcastStatus.CANCELLED:
        raise Rejected(Code.BROADCAST_CANCELLED)
    else:
        raise Rejected(Code.BROADCAST_FILLED)
    return broadcast_view(broadcast, slots, uow.now)
