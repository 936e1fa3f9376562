"""Handler: a customer neither blocks nor prefers a transporter any more."""

from __future__ import annotations

from weelo_workers.contracts.relations import RelationView, RemoveByCustomer
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.relations.blocking import unblock
from weelo_workers.relations.marking import ensure_transporter, lock_relation


@handles(RemoveByCustomer)
def remove_by_customer(command: RemoveByCustomer, uow: UnitOfWork) -> RelationView:
    """Remove the customer's relation; repeating it succeeds. Raises Rejected(TRANSPORTER_NOT_FOUND)."""
    ensure_transporter(uow, command.transporter_id)
    relation = lock_relation(uow, command.customer_id, command.transporter_id)
    unblock(uow, relation, "blocked_by_customer_at", "preferred_at")
    return RelationView(
        customer_id=command.customer_id, transporter_id=command.transporter_id, relation=None, since=None
    )
