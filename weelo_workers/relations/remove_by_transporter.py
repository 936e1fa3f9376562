"""Handler: a transporter no longer blocks a customer."""

from __future__ import annotations

from weelo_workers.contracts.relations import RelationView, RemoveByTransporter
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.relations.blocking import unblock
from weelo_workers.relations.marking import ensure_customer, lock_relation


@handles(RemoveByTransporter)
def remove_by_transporter(command: RemoveByTransporter, uow: UnitOfWork) -> RelationView:
    """Remove the transporter's block; repeating it succeeds. Raises Rejected(NOT_FOUND) for an unknown customer."""
    ensure_customer(uow, command.customer_id)
    relation = lock_relation(uow, command.customer_id, command.transporter_id)
    unblock(uow, relation, "blocked_by_transporter_at")
    return RelationView(
        customer_id=command.customer_id, transporter_id=command.transporter_id, relation=None, since=None
    )
