"""Texts of errors that checks meet."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.exc import DBAPIError, OperationalError

from weelo_workers.contracts.wire import rfc3339
from weelo_workers.models import server


def of_database(error: DBAPIError) -> str:
    """Return in one line why the database cannot be used."""
    why = server.trouble_with(error) or str(error.orig).splitlines()[0]
    return f"not reachable: {why}" if isinstance(error, OperationalError) else f"cannot be used: {why}"


def summary(error: Exception) -> str:
    """Return the first line of an error."""
    text = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return next((line for line in text.splitlines() if line.strip()), type(error).__name__)


def time_of(moment: datetime | None) -> str:
    """Return a time for a line; "ever" if there is none."""
    return rfc3339(moment) if moment else "ever"
