"""Commands that are executed in batches, in one transaction, instead of one by one by woken workers.

The commands are those of classes with `batched=True`. Beat executes their rows within a second. A row that cannot be
executed in a batch remains, and the sweep executes it alone like any other command.
"""

from __future__ import annotations

import logging
import time

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from weelo_workers.contracts.command import REGISTRY, load
from weelo_workers.lifecycles.mailbox import SUCCEED
from weelo_workers.log_rate_limit import RateLimitFilter
from weelo_workers.messaging import command_log, failures
from weelo_workers.messaging.handlers import batch_handlers
from weelo_workers.metrics import counters
from weelo_workers.models.mailbox import active, as_sql, untroubled

log = logging.getLogger(__name__)
log.addFilter(RateLimitFilter())

BATCH = 100
"""Small, because the rows are locked while the handler waits for Redis."""

_SETTLE = text(f"""
    UPDATE mailbox SET settled_at = clock_timestamp(), status = '{SUCCEED.to.value}', http_status = 200
     WHERE id IN (SELECT id FROM mailbox
                   WHERE queue = :queue AND name = :name AND due_at <= statement_timestamp()
                     AND {as_sql(active())} AND {as_sql(untroubled())}
                   ORDER BY due_at
                   LIMIT {BATCH}
                     FOR UPDATE SKIP LOCKED)
    RETURNING id, payload
""")


def execute_batches(engine: Engine) -> int:
    """Execute the rows of each batched command, batch after batch, until a batch is not full.

    Return how many were settled.
    """
    settled = 0
    for name in batch_handlers():
        while (of_batch := _execute(engine, name)) == BATCH:
            settled += of_batch
        settled += of_batch
    return settled


def _execute(engine: Engine, name: str) -> int:
    began = time.monotonic()
    try:
        with Session(engine) as session, session.begin():
            found = session.execute(_SETTLE, {"queue": REGISTRY[name].queue, "name": name}).all()
            if found:
                batch_handlers()[name]([load(name, row.payload) for row in found], session)
    except Exception as error:
        # The error is not recorded here. The sweep soon executes each of these commands alone. If that attempt fails,
        # it records the failure.
        log.warning("a batch of %s could not be executed: %s", name, failures.summary(error))
        return 0
    if found:
        command_log.settled_together(name, [row.id for row in found], time.monotonic() - began)
    counters.COMMANDS.labels(name, SUCCEED.to.value).inc(len(found))
    return len(found)
