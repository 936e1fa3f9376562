"""Handler: an operator deletes the contract of a customer and a transporter."""

from __future__ import annotations

from weelo_workers.contracts.relations import RelationView, RemoveByOperator
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.relations.marking import ensure_customer, ensure_transporter, lock_relation, remove_marks


@handles(RemoveByOperator)
def remove_by_operator(command: RemoveByOperator, uow: UnitOfWork) -> RelationView:
    """Remove the contract; repeating it succeeds. The marks that the customer and the transporter have set stay.

    Raises Rejected: NOT_FOUND for an unknown customer, TRANSPORTER_NOT_FOUND.
    """
    ensure_customer(uow, command.customer_id)
    ensure_transporter(uow, command.transporter_id)
    relation = lock_relation(uow, command.customer_id, command.transporter_id)
    remove_marks(uow, relation, "contracted_at")
    return RelationView(
        customer_id=command.customer_id, transporter_id=command.transporter_id, relation=None, since=None
    )
