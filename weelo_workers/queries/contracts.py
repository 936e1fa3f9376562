"""Queries of the contracts between customers and transporters."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, Exists, exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from weelo_workers.models import Relation

Id = UUID | ColumnElement[UUID] | InstrumentedAttribute[UUID]


def has_contract(customer_id: Id, transporter_id: Id) -> Exists:
    """Return the condition that an operator has recorded a contract of this customer and this transporter."""
    return exists().where(
        Relation.customer_id == customer_id,
        Relation.transporter_id == transporter_id,
        Relation.contracted_at.is_not(None),
    )


def contracted_with(
    session: Session, customer_id: UUID, among: Collection[UUID] | None = None
) -> frozenset[UUID]:
    """Return the transporters who have a contract with the customer. `among`: only of these."""
    query = select(Relation.transporter_id).where(
        Relation.customer_id == customer_id, Relation.contracted_at.is_not(None)
    )
    if among is not None:
        query = query.where(Relation.transporter_id.in_(among))
    return frozenset(session.scalars(query))
