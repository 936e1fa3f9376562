"""Handler: a customer blocks or prefers a transporter."""

from __future__ import annotations

from weelo_workers.contracts.relations import RelationKind, RelationView, SetByCustomer
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.relations.blocking import block, offer_missed
from weelo_workers.relations.marking import ensure_transporter, lock_relation, set_mark


@handles(SetByCustomer)
def set_by_customer(command: SetByCustomer, uow: UnitOfWork) -> RelationView:
    """Store the relation. It replaces the customer's earlier one; repeating it succeeds.

    Raises Rejected(TRANSPORTER_NOT_FOUND).
    """
    ensure_transporter(uow, command.transporter_id)
    pair = (command.customer_id, command.transporter_id)
    if command.relation == "blocked":
        since = block(uow, *pair, "blocked_by_customer_at")
    else:
        relation = lock_relation(uow, *pair)
        ends_block = relation.blocked_by_customer_at is not None
        relation.blocked_by_customer_at = None
        since = set_mark(uow, relation, "preferred_at")
        if ends_block:
            offer_missed(uow, relation)
    return RelationView(
        customer_id=command.customer_id,
        transporter_id=command.transporter_id,
        relation=RelationKind(command.relation),
        since=since,
    )
