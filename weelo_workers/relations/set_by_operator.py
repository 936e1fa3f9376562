"""Handler: an operator records a contract of a customer and a transporter."""

from __future__ import annotations

from weelo_workers.contracts.relations import RelationKind, RelationView, SetByOperator
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.relations.marking import ensure_customer, ensure_transporter, lock_relation, set_mark


@handles(SetByOperator)
def set_by_operator(command: SetByOperator, uow: UnitOfWork) -> RelationView:
    """Store the contract; repeating it succeeds. A block of the pair stays, and prevails.

    Raises Rejected: NOT_FOUND for an unknown customer, TRANSPORTER_NOT_FOUND.
    """
    ensure_customer(uow, command.customer_id)
    ensure_transporter(uow, command.transporter_id)
    relation = lock_relation(uow, command.customer_id, command.transporter_id)
    since = set_mark(uow, relation, "contracted_at")
    return RelationView(
        customer_id=command.customer_id,
        transporter_id=command.transporter_id,
        relation=RelationKind.CONTRACTED,
        since=since,
    )
