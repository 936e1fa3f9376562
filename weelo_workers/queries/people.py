"""Queries of the names and phone numbers of users."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from weelo_workers.contracts.statuses import Role
from weelo_workers.models import User
from weelo_workers.queries.operator_search import begins_with, users_with_phone


class Person(NamedTuple):
    """A user with the name and the phone number from the claims of their token."""

    name: str | None
    phone: str | None


def find_customers(session: Session, text: str) -> Sequence[UUID]:
    """Return at most two customers whose id begins with this text, or whose telephone number ends with its digits."""
    ways = []
    if (is_id := begins_with(User.id, text)) is not None:
        ways.append(select(User.id).where(is_id))
    if (with_phone := users_with_phone(text)) is not None:
        ways.append(with_phone)
    if not ways:
        return []
    found = union(*ways).subquery().select()
    query = select(User.id).where(User.id.in_(found), User.role == Role.CUSTOMER).order_by(User.id).limit(2)
    return session.scalars(query).all()


def people(session: Session, user_ids: Collection[UUID]) -> dict[UUID, Person]:
    """Return the names and phone numbers of these users, by id. Users who have never sent a command are left out."""
    query = select(User.id, User.name, User.phone).where(User.id.in_(user_ids))
    return {row.id: Person(row.name, row.phone) for row in session.execute(query)} if user_ids else {}
