"""The texts of database and Redis errors in findings."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, OperationalError

from weelo_workers.models import server


def of_database(error: DBAPIError) -> str:
    """Return in one line why the database cannot be used."""
    why = server.trouble_with(error) or str(error.orig).splitlines()[0]
    return f"not reachable: {why}" if isinstance(error, OperationalError) else f"cannot be used: {why}"


def first_line(error: Exception) -> str:
    """Return the first non-empty line of an error's text, without the name of the error's class."""
    text = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return next((line for line in text.splitlines() if line.strip()), type(error).__name__)
