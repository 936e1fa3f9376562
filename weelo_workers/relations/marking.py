"""Sets and removes the marks of a relation, for all commands of this domain."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Relation, User


def ensure_customer(uow: UnitOfWork, customer_id: UUID) -> None:
    """Raise Rejected(NOT_FOUND) if there is no customer with this id."""
    user = uow.session.get(User, customer_id)
    if user is None or user.role != Role.CUSTOMER:
        raise Rejected(Code.NOT_FOUND, "No customer with this id has ever sent a command.")


def ensure_transporter(uow: UnitOfWork, transporter_id: UUID) -> None:
    """Raise Rejected(TRANSPORTER_NOT_FOUND) if there is no transporter with this id."""
    user = uow.session.get(User, transporter_id)
    if user is None or user.role != Role.TRANSPORTER:
        raise Rejected(Code.TRANSPORTER_NOT_FOUND)


def lock_relation(uow: UnitOfWork, customer_id: UUID, transporter_id: UUID) -> Relation:
    """Lock and return the relation of the pair, after inserting one without a mark if there is none.

    This lock is the last one of a transaction, after the locks of broadcasts and transporters.
    """
    pair = {"customer_id": customer_id, "transporter_id": transporter_id}
    uow.session.execute(insert(Relation).values(**pair).on_conflict_do_nothing())
    relation = uow.session.get_one(
        Relation, (customer_id, transporter_id), with_for_update=True, populate_existing=True
    )
    uow.refresh_now()
    return relation


def set_mark(uow: UnitOfWork, relation: Relation, mark: str) -> datetime:
    """Set this column to the present time, unless it is set. Return the time in the column."""
    since: datetime | None = getattr(relation, mark)
    if since is None:
        since = uow.now
        setattr(relation, mark, since)
    else:
        uow.replayed = True
    uow.session.flush()
    return since


def remove_marks(uow: UnitOfWork, relation: Relation, *marks: str) -> None:
    """Remove these marks. A relation without any mark is deleted."""
    if all(getattr(relation, mark) is None for mark in marks):
        uow.replayed = True
    for mark in marks:
        setattr(relation, mark, None)
    if not any(
        (
            relation.blocked_by_customer_at,
            relation.blocked_by_transporter_at,
            relation.preferred_at,
            relation.contracted_at,
        )
    ):
        uow.session.delete(relation)
    uow.session.flush()
