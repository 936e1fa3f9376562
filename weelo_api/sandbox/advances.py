"""Stores requests to move the clock, each as a row, and waits until the process of the sandbox has executed them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.models.engine import autocommit_engine
from weelo_workers.models.sandbox import ADVANCES, CLOCK

WAIT_SECONDS = 60.0
POLL_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class ClockState:
    """The clock. `moving`: whether it is being moved now, or will be by a stored request."""

    now: datetime
    offset_seconds: float
    moving: bool


def clock() -> ClockState:
    """Return the time of the sandbox, and whether a request to move the clock is unfinished."""
    with autocommit_engine().connect() as connection:
        unfinished = select(ADVANCES.c.id).where(ADVANCES.c.ended_at.is_(None)).exists()
        now, offset, moving = connection.execute(
            select(func.clock_timestamp(), CLOCK.c.clock_offset, unfinished)
        ).one()
    return ClockState(now, offset.total_seconds(), moving)


def advance(advance_id: UUID, seconds: float) -> int | None:
    """Store a request to move the clock, wait for its end, and return how many timers were executed.

    A request that is stored already is not stored again. Return None if the request is not finished after WAIT_SECONDS.
    Raises Rejected(IDEMPOTENCY_CONFLICT) if a request with this id but another number of seconds is stored, and
    Rejected(SERVICE_UNAVAILABLE) if a reset has deleted the request meanwhile.
    """
    with autocommit_engine().connect() as connection:
        connection.execute(insert(ADVANCES).values(id=advance_id, seconds=seconds).on_conflict_do_nothing())
    query = select(ADVANCES.c.seconds, ADVANCES.c.ended_at, ADVANCES.c.timers_executed).where(
        ADVANCES.c.id == advance_id
    )
    until = time.monotonic() + WAIT_SECONDS
    while True:
        with autocommit_engine().connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise Rejected(Code.SERVICE_UNAVAILABLE, "The sandbox was reset meanwhile.", {"retryAfter": 1})
        if row.seconds != seconds:
            raise Rejected(Code.IDEMPOTENCY_CONFLICT, "Use a new key for a new request.")
        if row.ended_at is not None:
            return int(row.timers_executed)
        if time.monotonic() >= until:
            return None
        time.sleep(POLL_SECONDS)
