"""Check of webhooks whose endpoints fail."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import text

from weelo_workers.contracts.wire import rfc3339
from weelo_workers.doctor.check import IN_SCHEMA, Examination, Severity, check

_FAILING = text("""
    SELECT count(*) AS number, min(failing_since) AS since FROM webhooks
     WHERE is_active AND failing_since < clock_timestamp() - interval '1 hour'
""")


@check(
    "webhooks-failing",
    severity=Severity.WARNING,
    needs=IN_SCHEMA,
    remedy="their owners have to repair their endpoints; if all fail, see whether the workers reach the Internet",
)
def webhooks_failing(examination: Examination) -> Iterator[str]:
    """Find webhooks that have been failing for an hour."""
    with examination.database() as connection:
        failing = connection.execute(_FAILING).one()
    if failing.number:
        yield f"webhooks: {failing.number} have been failing for an hour, the first since {rfc3339(failing.since)}"
