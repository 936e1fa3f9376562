"""Conditions for the text that an operator types: an id or its beginning, a telephone number."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute

from weelo_workers.models import User

MIN_DIGITS = 4
"""A text with fewer digits is not taken for a telephone number, and one with fewer characters not for the beginning of
an id."""

_PHONE_DIGITS = 10
"""The digits of an Indian number without its country code. Operators and tokens write country codes differently."""

_ID = re.compile(rf"[0-9a-fA-F-]{{{MIN_DIGITS},36}}")
_PHONE = re.compile(r"\+?[0-9 ()/-]+")


def begins_with(column: InstrumentedAttribute[UUID], text: str) -> ColumnElement[bool] | None:
    """Return the condition that the id begins with this text; None if no id does."""
    digits = text.replace("-", "")
    if not _ID.fullmatch(text) or not MIN_DIGITS <= len(digits) <= 32:
        return None
    return column.between(UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))


def users_with_phone(text: str) -> Select[Any] | None:
    """Return the query of the ids of users whose number ends with the digits of this text; None if it is no telephone number."""
    digits = re.sub(r"\D", "", text)
    if not _PHONE.fullmatch(text) or len(digits) < MIN_DIGITS:
        return None
    # PostgreSQL uses the index `users_by_phone` only if this expression is the same as that of the index.
    backwards = func.reverse(func.regexp_replace(User.phone, "[^0-9]", "", "g"))
    return select(User.id).where(User.phone.is_not(None), backwards.like(digits[-_PHONE_DIGITS:][::-1] + "%"))
