"""Whether this worker or this process of beat is ready, for its /readyz."""

from __future__ import annotations

import time
from functools import lru_cache

from sqlalchemy import Engine

from weelo_workers.clock import clock_skew
from weelo_workers.messaging.beat_heartbeats import BeatHeartbeats, late_after_seconds
from weelo_workers.messaging.consumer_monitor import ConsumerMonitor
from weelo_workers.models.engine import DATABASE_ERRORS, connect
from weelo_workers.settings import settings
from weelo_workers.with_timeout import NoThread, WithTimeout


class ProgramHealth:
    """The parts of this program that /readyz checks. `consumers` is set when a worker has started, `beat` when beat has."""

    def __init__(self) -> None:
        self.consumers: ConsumerMonitor | None = None
        self.beat: BeatHeartbeats | None = None

    def why_not_ready(self) -> str | None:
        """Return why this program cannot do its work now, in one line; None if it can. Takes at most about 2 s."""
        if self.beat is not None:
            reason = _why_not_sweeping(self.beat)
        elif self.consumers is not None:
            reason = self.consumers.why_not_consuming()
        else:
            reason = "it has not started yet"
        return reason or _why_no_database()

    def clock_skew(self) -> float | None:
        """Return how far (seconds) this machine's clock is ahead of PostgreSQL's; None without an answer within 2 s."""
        try:
            return _ask_database()
        except (TimeoutError, NoThread, *DATABASE_ERRORS):
            return None


def _why_not_sweeping(beat: BeatHeartbeats) -> str | None:
    if beat.swept_at is None:
        return "beat has not swept yet"
    seconds = time.monotonic() - beat.swept_at
    return f"beat has not swept for {seconds:.0f} s" if seconds > late_after_seconds() else None


def _why_no_database() -> str | None:
    try:
        _ask_database()
    except TimeoutError:
        return "database: no answer within 2 s"
    except NoThread as refusal:
        return str(refusal)
    except DATABASE_ERRORS as error:
        return f"database: {type(error).__name__}"
    return None


@WithTimeout
def _ask_database() -> float:
    """Return the result of `clock_skew`, whose statement also shows whether the database answers."""
    with _engine().connect() as connection:
        return clock_skew(connection)


@lru_cache(maxsize=1)
def _engine() -> Engine:
    # The other engines are not used, because all their connections may be in use or may hang.
    return connect(
        settings().database_url, pool_size=1, isolation="AUTOCOMMIT", sandbox=settings().is_sandbox
    )
