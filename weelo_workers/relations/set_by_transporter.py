"""Handler: a transporter blocks a customer."""

from __future__ import annotations

from weelo_workers.contracts.relations import RelationKind, RelationView, SetByTransporter
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.relations.blocking import block
from weelo_workers.relations.marking import ensure_customer


@handles(SetByTransporter)
def set_by_transporter(command: SetByTransporter, uow: UnitOfWork) -> RelationView:
    """Store the block; repeating it succeeds. Raises Rejected(NOT_FOUND) for an unknown customer."""
    ensure_customer(uow, command.customer_id)
    since = block(uow, command.customer_id, command.transporter_id, "blocked_by_transporter_at")
    return RelationView(
        customer_id=command.customer_id,
        transporter_id=command.transporter_id,
        relation=RelationKind.BLOCKED,
        since=since,
    )
