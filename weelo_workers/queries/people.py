"""Queries of the names and phone numbers of users."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from weelo_workers.models import User


class Person(NamedTuple):
    """A user with the name and the phone number from the claims of their token."""

    name: str | None
    phone: str | None


def people(session: Session, user_ids: Collection[UUID]) -> dict[UUID, Person]:
    """Return those of these users who have sent a command."""
    query = select(User.id, User.name, User.phone).where(User.id.in_(user_ids))
    return {row.id: Person(row.name, row.phone) for row in session.execute(query)} if user_ids else {}
