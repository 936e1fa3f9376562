"""The checks of `weelo doctor`: connections, schema, queues, timers, stored events, invariants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from weelo_workers.contracts.broadcasts import ReofferBroadcast
from weelo_workers.contracts.queues import WEBHOOKS
from weelo_workers.contracts.statuses import AssignmentStatus, BroadcastStatus, HoldStatus, TruckRequestStatus
from weelo_workers.contracts.trips import ExpireAssignment, GiveBackStalled, RemindToStart, ReportStalled
from weelo_workers.contracts.wire import rfc3339
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.lifecycles.truck_request import FILLED
from weelo_workers.messaging import failures, rabbitmq
from weelo_workers.messaging.redis_rights import missing_right, refused_write
from weelo_workers.messaging.worker_heartbeats import consumers
from weelo_workers.models import replica, server
from weelo_workers.models.base import quoted
from weelo_workers.models.engine import connect, engine
from weelo_workers.models.mailbox import as_sql, unsettled
from weelo_workers.models.migrate import is_at_head
from weelo_workers.queries.backlog import by_queue
from weelo_workers.rabbitmq_url import is_rabbitmq
from weelo_workers.redis_client import connect as connect_redis, reason, redis
from weelo_workers.settings import settings

OVERDUE_SECONDS = 5
_OVERDUE = f"clock_timestamp() - interval '{OVERDUE_SECONDS} s'"
MOST_NAMED = 20  # The limit on listed parked rows, and on listed failing rows. /metrics has the totals.

_ASSIGNMENT_TIMERS = ", ".join(
    f"'{timer.name}'" for timer in (ExpireAssignment, RemindToStart, GiveBackStalled, ReportStalled)
)

# Each query counts rows that must not exist. `{n}` in the sentence is that number.
INVARIANTS = {
    "{n} users whose kept log has a gap": """
        SELECT count(*) FROM (SELECT FROM log_lines GROUP BY user_id
                               HAVING max(seq) - min(seq) + 1 <> count(*)) AS gaps""",
    "{n} broadcasts whose filled slots are not their live or completed assignments": f"""
        SELECT count(*) FROM broadcasts b
         WHERE (SELECT count(*) FROM truck_requests t WHERE t.broadcast_id = b.id AND t.status IN ({quoted(FILLED)}))
            <> (SELECT count(*) FROM assignments a
                 WHERE a.broadcast_id = b.id AND a.status IN ({quoted(LIVE)}, 'completed'))""",
    "{n} live assignments on cancelled broadcasts": f"""
        SELECT count(*) FROM assignments a JOIN broadcasts b ON b.id = a.broadcast_id
         WHERE a.status IN ({quoted(LIVE)}) AND b.status = '{BroadcastStatus.CANCELLED}'""",
    "{n} open broadcasts without a pending expiry": f"""
        SELECT count(*) FROM broadcasts b
         WHERE b.status IN ({quoted(OPEN)})
           AND NOT EXISTS (SELECT 1 FROM mailbox WHERE name = 'broadcasts.expire' AND {as_sql(unsettled())}
                              AND payload->>'broadcast_id' = b.id::text)""",
    "{n} slots held by a hold that is over": f"""
        SELECT count(*) FROM truck_requests t JOIN holds h ON h.id = t.hold_id
         WHERE t.status = '{TruckRequestStatus.HELD}' AND h.status <> '{HoldStatus.OPEN}'""",
    "{n} holds open past their end": f"""
        SELECT count(*) FROM holds
         WHERE status = '{HoldStatus.OPEN}' AND expires_at < {_OVERDUE}""",
    "{n} broadcasts open past their deadline": f"""
        SELECT count(*) FROM broadcasts
         WHERE status IN ({quoted(OPEN)}) AND expires_at < {_OVERDUE}""",
    "{n} assignments unanswered past their end": f"""
        SELECT count(*) FROM assignments
         WHERE status = '{AssignmentStatus.PENDING}'
           AND expires_at < {_OVERDUE}""",
    "{n} live assignments without a timer whose driver has not answered or has left the fleet": f"""
        SELECT count(*) FROM assignments a
         WHERE a.status IN ({quoted(LIVE)})
           AND NOT EXISTS (SELECT 1 FROM mailbox WHERE name IN ({_ASSIGNMENT_TIMERS}) AND {as_sql(unsettled())}
                              AND payload->>'assignment_id' = a.id::text)
           AND (a.status = '{AssignmentStatus.PENDING}'
                OR NOT EXISTS (SELECT 1 FROM drivers d
                                WHERE d.id = a.driver_id AND d.transporter_id = a.transporter_id))""",
    "{n} reopened slots whose search has not begun": f"""
        SELECT count(*) FROM truck_requests t JOIN broadcasts b ON b.id = t.broadcast_id
         WHERE t.status = '{TruckRequestStatus.SEARCHING}' AND b.status IN ({quoted(OPEN)})
           AND t.state_changed_at < {_OVERDUE}
           AND (b.reoffer_rounds > 0 AND b.radius_step = 0 AND b.state_changed_at < {_OVERDUE}
                OR EXISTS (SELECT 1 FROM mailbox WHERE name = '{ReofferBroadcast.name}' AND {as_sql(unsettled())}
                              AND payload->>'truck_request_id' = t.id::text))""",
    "{n} webhooks whose lines wait and that no command delivers": f"""
        SELECT count(*) FROM webhooks w
         WHERE w.is_active AND (w.lease_until IS NULL OR w.lease_until < {_OVERDUE})
           AND EXISTS (SELECT 1 FROM log_lines l JOIN events e ON e.id = l.event_id
                        WHERE l.user_id = w.user_id AND l.seq > w.delivered_seq AND e.at < {_OVERDUE}
                          AND (w.events ? '*' OR w.events ? e.event))
           AND NOT EXISTS (SELECT 1 FROM mailbox
                            WHERE queue = '{WEBHOOKS}' AND {as_sql(unsettled())}
                              AND payload->>'webhook_id' = w.id::text)""",
    "{n} users whose log does not end where its counter stands": """
        SELECT count(*) FROM log_heads h
         WHERE EXISTS (SELECT 1 FROM log_lines l WHERE l.user_id = h.user_id)
           AND h.seq <> (SELECT max(seq) FROM log_lines l WHERE l.user_id = h.user_id)""",
}


def findings() -> list[str]:
    """Return a message per finding; none if all is well."""
    found = list(_redis())
    try:
        with engine().connect() as connection:
            found += _database(connection)
    except DBAPIError as error:
        found.append(f"database: {_line(error)}")
    for variable, check in (
        ("DATABASE_READ_URL", _replica),
        ("DATABASE_API_URL", _role),
        ("DATABASE_WORKERS_URL", _role),
    ):
        if url := getattr(settings(), variable.lower()):
            found += [f"{variable}: {line}" for line in _further_database(url, check)]
    return found


def warnings() -> list[str]:
    """Return a message for each server setting that causes no error but may lose data."""
    found: list[str] = []
    with suppress(DBAPIError), engine().connect() as connection:
        found += [f"database: {line}" for line in server.warnings(connection)]
        if is_at_head(connection):
            found += _failing_webhooks(connection)
    for variable, client in _redis_servers():
        with suppress(RedisError):
            memory: Any = client.info("memory")
            policy = memory.get("maxmemory_policy", "noeviction")
            if int(memory.get("maxmemory", 0)) and policy != "noeviction":
                found.append(
                    f"{variable}: maxmemory-policy is {policy}: when its memory is full, positions and wake-ups get lost; "
                    "use noeviction"
                )
    return found


def _failing_webhooks(connection: Connection) -> Iterator[str]:
    """Yield one message if webhooks have been failing for an hour. Their owners have to repair their endpoints."""
    failing = connection.execute(_FAILING_WEBHOOKS).one()
    if failing.number:
        yield f"webhooks: {failing.number} have been failing for an hour, the first since {_time(failing.since)}"


_FAILING_WEBHOOKS = text("""
    SELECT count(*) AS number, min(failing_since) AS since FROM webhooks
     WHERE is_active AND failing_since < clock_timestamp() - interval '1 hour'
""")


def _further_database(url: str, check: Callable[[Connection], Iterator[str]]) -> Iterator[str]:
    made = connect(url, pool_size=1, sandbox=settings().is_sandbox)
    try:
        with made.connect() as connection:
            yield from check(connection)
    except DBAPIError as error:
        yield _line(error)
    finally:
        made.dispose()


def _role(connection: Connection) -> Iterator[str]:
    if refusals := server.refusals(connection):
        yield from refusals
    elif not is_at_head(connection):
        yield "the schema is not at head: run `weelo migrate`"
    else:
        yield from server.shortcomings(connection)


def _replica(connection: Connection) -> Iterator[str]:
    if refusals := server.refusals(connection, writable=False):
        yield from refusals
        return
    with suppress(DBAPIError), engine().connect() as primary:  # `findings` reports an unusable primary.
        faults = list(replica.faults(connection, primary))
        yield from faults
        if faults or not is_at_head(primary):
            return
    if not is_at_head(connection):
        yield "the schema is not at head, although the one of DATABASE_URL is"
    else:
        yield from server.shortcomings(connection)


def _line(error: DBAPIError) -> str:
    reason_text = server.trouble_with(error) or str(error.orig).splitlines()[0]
    return (
        f"not reachable: {reason_text}"
        if isinstance(error, OperationalError)
        else f"cannot be used: {reason_text}"
    )


def _time(moment: datetime | None) -> str:
    return rfc3339(moment) if moment else "ever"


def _redis() -> Iterator[str]:
    for variable, client in _redis_servers():
        try:
            yield from (f"{variable}: {line}" for line in unfit(variable, client))
        except RedisError as error:
            yield f"{variable}: not reachable: {reason(error)}"
    if is_rabbitmq(settings().broker_url) and (fault := rabbitmq.fault(settings().broker_url)):
        yield f"CELERY_BROKER_URL: RabbitMQ cannot be used: {fault}"
    with suppress(RedisError):
        for queue, workers in consumers().items():
            if workers == 0:
                yield f"queue {queue}: no worker consumes it"


def _redis_servers() -> Iterator[tuple[str, Redis]]:
    yield "REDIS_URL", redis()
    if settings().broker_url != settings().redis_url and not is_rabbitmq(settings().broker_url):
        yield "CELERY_BROKER_URL", connect_redis(settings().broker_url)


def unfit(variable: str, client: Redis) -> Iterator[str]:
    """Yield a message for each reason why this Redis cannot be used. Raises RedisError if it does not answer."""
    client.ping()
    try:
        about: Any = client.info("replication") | client.info("cluster")
    except ResponseError:
        about = {}  # Some managed services do not permit INFO.
    presence = variable == "REDIS_URL"
    broker = not presence or settings().broker_url == settings().redis_url
    if missing := missing_right(client, presence=presence, broker=broker):
        yield missing
    if about.get("role") == "slave":
        yield "is a read-only replica; use the primary's address"
    elif about.get("cluster_enabled"):
        yield "is a cluster, whose keys lie on several servers; use a single one"
    elif refusal := refused_write(client):
        yield refusal


def _database(connection: Connection) -> Iterator[str]:
    if refusals := server.refusals(connection):
        yield from (f"database: {line}" for line in refusals)
        return
    if not is_at_head(connection):
        yield "schema: not at head: run `weelo migrate`"
        return
    yield from (f"database: {line}" for line in server.shortcomings(connection))
    if refusal := server.refused_write(connection):
        yield f"database: {refusal}"
    # These queries read whole tables, so they may take longer than those of a request.
    connection.execute(text("SET LOCAL statement_timeout = '60s'"))
    for line in by_queue(connection):
        if line.oldest_seconds > OVERDUE_SECONDS:
            yield f"queue {line.queue}: {line.due} due, the oldest for {line.oldest_seconds:.0f} s"
    for row in failures.parked(connection, MOST_NAMED):
        yield f"parked: {row.name} {row.id} since {_time(row.parked_at)}: {row.last_error}"
    for row in failures.failing(connection, MOST_NAMED):
        next_try = f", next try {_time(row.retry_at)}" if row.retry_at else ""
        yield f"failing: {row.name} {row.id}, due {_time(row.due_at)}, {row.attempts + row.crashes} tries{next_try}: {row.last_error}"
    for sentence, query in INVARIANTS.items():
        if count := connection.execute(text(query)).scalar_one():
            yield "invariant: " + sentence.format(n=count)
