"""`python -m tests.faults.wrong_clock SECONDS ID…`: publishes wake-ups for these timers with a clock that is off by SECONDS.

This is a separate process, because the wrong clock applies to a whole process. Prints the number of wake-ups.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from freezegun import freeze_time
from sqlalchemy import text


def main() -> None:
    from weelo_workers.messaging.celery_waker import CeleryWaker
    from weelo_workers.messaging.wakeup import WakeUp
    from weelo_workers.models.engine import engine

    off, ids = int(sys.argv[1]), sys.argv[2:]
    query = text(
        "SELECT id, name, queue, EXTRACT(EPOCH FROM due_at - clock_timestamp())::float AS left"
        "  FROM mailbox WHERE id = ANY(CAST(:ids AS uuid[]))"
    )
    with engine().connect() as connection:
        rows = connection.execute(query, {"ids": ids}).all()
    waker = CeleryWaker()
    with freeze_time(datetime.now(UTC) + timedelta(seconds=off), tick=True):
        for row in rows:
            waker.wake(WakeUp(row.id, row.name, row.queue, max(0.01, row.left)))
    print(len(rows))  # noqa: T201


if __name__ == "__main__":
    main()
