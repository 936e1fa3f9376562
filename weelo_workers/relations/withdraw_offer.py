"""Handler: withdraw an offer that was made while the pair was being blocked."""

from __future__ import annotations

from weelo_workers.contracts.relations import WithdrawOffer
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast
from weelo_workers.queries.relations import are_blocked
from weelo_workers.relations.withdrawing import withdraw


@handles(WithdrawOffer)
def withdraw_offer(command: WithdrawOffer, uow: UnitOfWork) -> None:
    """Withdraw the offer if the pair is still blocked."""
    broadcast = uow.lock(Broadcast, command.broadcast_id)
    if broadcast is not None and are_blocked(uow.session, broadcast.customer_id, command.transporter_id):
        withdraw(uow, broadcast, command.transporter_id)
