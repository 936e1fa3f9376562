"""Relations of customers and transporters: conditions for other queries, and lists."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, exists, func, or_, select, type_coerce
from sqlalchemy.orm import Session, aliased

from weelo_workers.contracts.relations import RelationKind, RelationView
from weelo_workers.contracts.statuses import Role
from weelo_workers.models import Offer, Relation
from weelo_workers.queries.pages import Page, PageRequest

_pair = aliased(Relation)
_BLOCKS = or_(_pair.blocked_by_customer_at.is_not(None), _pair.blocked_by_transporter_at.is_not(None))


def is_blocked(customer_id: Any, transporter_id: Any) -> ColumnElement[bool]:
    """Return the condition that the customer has blocked the transporter, or the transporter the customer.

    Both ids are columns of the enclosing query, parameters or values. The condition reads one row by the primary key.
    """
    return _of_pair(customer_id, transporter_id, _BLOCKS)


def is_contracted(customer_id: Any, transporter_id: Any) -> ColumnElement[bool]:
    """Return the condition that the customer and the transporter have a contract. For the ids see `is_blocked`."""
    return _of_pair(customer_id, transporter_id, _pair.contracted_at.is_not(None))


def is_preferred(customer_id: Any, transporter_id: Any) -> ColumnElement[bool]:
    """Return the condition that the customer prefers the transporter. For the ids see `is_blocked`."""
    return _of_pair(customer_id, transporter_id, _pair.preferred_at.is_not(None))


def _of_pair(customer_id: Any, transporter_id: Any, mark: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(_pair.customer_id == customer_id, _pair.transporter_id == transporter_id, mark)


def are_blocked(session: Session, customer_id: UUID, transporter_id: UUID) -> bool:
    """Return whether the customer has blocked the transporter, or the transporter the customer."""
    return bool(session.scalar(select(is_blocked(customer_id, transporter_id))))


def blocked_transporters(session: Session, customer_id: UUID) -> set[UUID]:
    """Return the transporters to whom this customer's broadcasts are not offered because of a block."""
    return set(session.scalars(select(_pair.transporter_id).where(_pair.customer_id == customer_id, _BLOCKS)))


def contracted_transporters(
    session: Session,
    customer_id: UUID,
    among: Collection[UUID] | None = None,
    *,
    without_offer_of: UUID | None = None,
) -> set[UUID]:
    """Return the transporters who have a contract with this customer and are not blocked.

    `among`: if it is given, only transporters in it are returned. `without_offer_of`: the id of a broadcast; only
    transporters to whom it was not offered are returned.
    """
    query = select(_pair.transporter_id).where(
        _pair.customer_id == customer_id, _pair.contracted_at.is_not(None), ~_BLOCKS
    )
    if among is not None:
        query = query.where(_pair.transporter_id.in_(among))
    if without_offer_of is not None:
        offered = exists().where(
            Offer.broadcast_id == without_offer_of, Offer.transporter_id == _pair.transporter_id
        )
        query = query.where(~offered)
    return set(session.scalars(query))


def own_relations(session: Session, user_id: UUID, role: Role, page_request: PageRequest) -> Page:
    """Return a page of the relations that this customer or this transporter has set, newest first."""
    if role is Role.CUSTOMER:
        is_own, other = Relation.customer_id == user_id, Relation.transporter_id
        since: ColumnElement[Any] = func.coalesce(Relation.blocked_by_customer_at, Relation.preferred_at)
    else:
        is_own, other = Relation.transporter_id == user_id, Relation.customer_id
        since = type_coerce(Relation.blocked_by_transporter_at, DateTime(timezone=True))
    own = (
        select(
            Relation.customer_id,
            Relation.transporter_id,
            other.label("other"),
            since.label("since"),
            (since == Relation.preferred_at).label("is_preferred"),
        )
        .where(is_own, since.is_not(None))
        .subquery()
    )
    rows, next_cursor = page_request.apply_to_columns(session, select(own), own.c.since, own.c.other)
    return Page([_own_view(row) for row in rows], next_cursor)


def _own_view(row: Any) -> RelationView:
    return RelationView(
        customer_id=row.customer_id,
        transporter_id=row.transporter_id,
        relation=RelationKind.PREFERRED if row.is_preferred else RelationKind.BLOCKED,
        since=row.since,
    )


def relations_of(session: Session, user_id: UUID, role: Role, limit: int) -> Sequence[Relation]:
    """Return the relations of this customer or this transporter for an operator, the latest change first."""
    is_own = (Relation.customer_id if role is Role.CUSTOMER else Relation.transporter_id) == user_id
    changed_at = func.greatest(
        Relation.blocked_by_customer_at,
        Relation.blocked_by_transporter_at,
        Relation.preferred_at,
        Relation.contracted_at,
    )
    latest_first = (changed_at.desc(), Relation.customer_id, Relation.transporter_id)
    return session.scalars(select(Relation).where(is_own).order_by(*latest_first).limit(limit)).all()
