"""Handler (timer): at the deadline the open slots of a broadcast expire. Trucks that are already assigned stay assigned."""

from __future__ import annotations

from weelo_workers.broadcasts.expiring import any_online, expire_broadcast
from weelo_workers.contracts.broadcasts import ExpireBroadcast
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast


@handles(ExpireBroadcast)
def expire(command: ExpireBroadcast, uow: UnitOfWork) -> None:
    """Expire an open broadcast at its deadline, and publish why: partly filled, or the reason from `unfilled_reason`."""
    asked = uow.session.get(Broadcast, command.broadcast_id)
    if asked is None:
        return
    online = any_online(uow, asked)
    broadcast = uow.lock(Broadcast, command.broadcast_id)
    if broadcast is None or broadcast.status in lifecycle.FINAL:
        return
    if uow.now < broadcast.expires_at:
        # The deadline was moved after this timer was set, so another timer is set. A full broadcast needs it as well,
        # because it may lose a truck and be open again at the new deadline.
        uow.send(command, at=broadcast.expires_at)
        return
    if broadcast.status in lifecycle.EXPIRE.when:
        expire_broadcast(uow, broadcast, online=online)
