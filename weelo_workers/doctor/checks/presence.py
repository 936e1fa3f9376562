"""Check of presence: whether Redis has the same kinds of trucks for transporters as their rows."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from weelo_workers.doctor.check import IN_SCHEMA, Examination, Severity, check
from weelo_workers.presence import kinds_as_stored, overview
from weelo_workers.queries.fleets import fleet_availability

SAMPLE = 500
# Presence is written some milliseconds after the commit of the rows. So a difference counts only if it is still there
# after this time.
AGAIN_AFTER_SECONDS = 1.0


@check(
    "presence-differs",
    severity=Severity.WARNING,
    needs=IN_SCHEMA,
    remedy="`weelo doctor --repair` copies their rows to presence again",
)
def presence_differs(examination: Examination) -> Iterator[str]:
    """Find transporters, in a random sample of 500, who may be left out of rings, or get offers that do not fit."""
    if found := differing(examination):
        yield f"presence: {len(found)} of at most {SAMPLE} transporters have other kinds of trucks there than in their rows"


def differing(examination: Examination) -> list[UUID]:
    """Return the transporters of a random sample whose presence and rows differ, and still differ after a second."""
    with suppress(RedisError):  # an unavailable Redis is a finding of the check `redis`, not of this one
        suspects = _differing(examination, overview.sample(SAMPLE))
        if suspects:
            time.sleep(AGAIN_AFTER_SECONDS)
            return sorted(_differing(examination, overview.stored(suspects)))
    return []


def _differing(examination: Examination, stored: Mapping[UUID, str | None]) -> Collection[UUID]:
    if not stored:
        return []
    with examination.database() as connection:
        rows = fleet_availability(Session(connection), list(stored))
    return {
        transporter_id
        for transporter_id, row in rows.items()
        if stored[transporter_id] is not None
        and stored[transporter_id]
        != (None if row.free_kinds is None else kinds_as_stored(row.free_kinds, row.busy_kinds))
    }
