"""The lease of a webhook, by which one sender at a time posts to it, and the progress that its holder records.

Each statement of the holder names the lease's token. A sender that was suspended until its lease ended changes nothing
any more.

A lease limits the real time of processes. So it is measured by `pg_catalog.statement_timestamp()`, which no `search_path`
replaces, while all other times are those of the system's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection, insert, text

from weelo_workers import webhook_secrets
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.notifications import frame
from weelo_workers.contracts.statuses import DisabledReason
from weelo_workers.contracts.webhooks import DeliverWebhook, ReportDisabled
from weelo_workers.contracts.wire import rfc3339
from weelo_workers.lifecycles.webhook import GIVE_UP_AFTER
from weelo_workers.messaging import mailbox
from weelo_workers.models.mailbox import MAILBOX, as_sql, unsettled
from weelo_workers.queries.log import lines_after, newest_seq
from weelo_workers.webhooks.waking import OLD_TRANSACTIONS_END_WITHIN

LEASE_SECONDS = 20
"""An attempt takes at most 10 s. The holder extends the lease before each attempt."""

PORTION = 50
"""How many lines a sender reads at once."""

# If the webhook's owner changes one of these columns after the holder of the lease has read its work, the holder reads
# the work again.
_AS_READ = (
    "webhooks.is_active AND webhooks.url = :url AND webhooks.events = CAST(:events AS jsonb)"
    " AND webhooks.secret_version = :secret_version"
)
_CLOCK = "pg_catalog.statement_timestamp()"
_IS_HELD = f"(lease_until IS NOT NULL AND lease_until > {_CLOCK})"

# If another transaction changes the row while this statement waits for its lock, PostgreSQL evaluates all expressions
# again on the new version of the row. So a lease that another sender has just taken is not taken again.
_TAKE = text(f"""
    UPDATE webhooks
       SET next_attempt_at = CASE WHEN :at_once THEN NULL ELSE next_attempt_at END,
           lease_token = CASE WHEN {_IS_HELD} THEN lease_token ELSE :token END,
           lease_until = CASE WHEN {_IS_HELD} THEN lease_until
                              ELSE {_CLOCK} + make_interval(secs => {LEASE_SECONDS}) END
     WHERE id = :webhook AND is_active
       AND (:at_once OR next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp()
            OR EXISTS (SELECT FROM webhook_deliveries d WHERE d.webhook_id = webhooks.id AND d.status = 'pending'))
    RETURNING lease_token, EXTRACT(EPOCH FROM lease_until - {_CLOCK})::float AS seconds_left
""")
_EXTEND = text(f"""
    UPDATE webhooks SET lease_until = {_CLOCK} + make_interval(secs => {LEASE_SECONDS})
     WHERE id = :webhook AND lease_token = :token
    RETURNING {_AS_READ} AS is_as_read
""")
_EXTEND_AND_READ = text(f"""
    UPDATE webhooks SET lease_until = {_CLOCK} + make_interval(secs => {LEASE_SECONDS})
     WHERE id = :webhook AND lease_token = :token
    RETURNING id, user_id, url, events, is_active, delivered_seq, failures, secret_version, old_secrets,
              clock_timestamp() AS now, (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp()) AS is_due
""")
_RELEASE = text("""
    UPDATE webhooks SET lease_token = NULL, lease_until = NULL WHERE id = :webhook AND lease_token = :token
""")
# If a worker is executing the command, its row is locked, so it is not deleted. That is harmless: the command finds no
# lease to continue.
_DELETE_CHECK = text(f"""
    DELETE FROM mailbox
     WHERE id IN (SELECT id FROM mailbox
                   WHERE {as_sql(unsettled())} AND queue = 'webhooks' AND payload->>'webhook_id' = CAST(:webhook AS text)
                     AND payload->>'lease' = CAST(:token AS text)
                     FOR UPDATE SKIP LOCKED)
""")
# Deletes the retries that were to begin at the end of earlier pauses, if those pauses were ended early. A command that
# is due soon is kept, because it may be the second command of `deliver_from_now_on` in `waking.py`. That command finds
# lines of transactions that began before the webhook was active.
_DELETE_EARLIER_RETRIES = text(f"""
    DELETE FROM mailbox
     WHERE id IN (SELECT id FROM mailbox
                   WHERE {as_sql(unsettled())} AND queue = 'webhooks' AND payload->>'webhook_id' = CAST(:webhook AS text)
                     AND name = '{DeliverWebhook.name}' AND payload->>'lease' IS NULL
                     AND due_at > clock_timestamp() + :soon
                     FOR UPDATE SKIP LOCKED)
""")
_TO_RESEND = text(f"""
    SELECT delivery.id AS delivery_id, delivery.seq, line.own, event.id, event.event, event.at, event.data
      FROM webhook_deliveries delivery
      LEFT JOIN log_lines line ON line.user_id = :user AND line.seq = delivery.seq
      LEFT JOIN events event ON event.id = line.event_id
     WHERE delivery.webhook_id = :webhook AND delivery.status = 'pending'
     ORDER BY delivery.at, delivery.seq LIMIT {PORTION}
""")
_DELIVERED = text(f"""
    WITH before AS (
      SELECT id, failures FROM webhooks WHERE id = :webhook AND lease_token = :token FOR NO KEY UPDATE
    ), moved AS (
      UPDATE webhooks
         SET delivered_seq = GREATEST(delivered_seq, :seq), failures = 0, failing_since = NULL, next_attempt_at = NULL,
             last_error = NULL, last_http_status = NULL, lease_until = {_CLOCK} + make_interval(secs => {LEASE_SECONDS})
        FROM before
       WHERE webhooks.id = before.id
      RETURNING webhooks.id, {_AS_READ} AS is_as_read, before.failures
    ), record AS (
      INSERT INTO webhook_deliveries (id, webhook_id, event_id, seq, event, kind, status, attempts, http_status, at)
      SELECT gen_random_uuid(), id, :event_id, :seq, :event, 'log', 'succeeded', LEAST(failures + 1, 32767), :http_status,
             clock_timestamp()
        FROM moved
    )
    SELECT is_as_read FROM moved
""")
_SKIP = text("""
    UPDATE webhooks SET delivered_seq = GREATEST(delivered_seq, :seq) WHERE id = :webhook AND lease_token = :token
""")
_FAILED = text("""
    UPDATE webhooks
       SET failures = LEAST(failures + 1, 32767),
           failing_since = COALESCE(failing_since, clock_timestamp()),
           last_error = :error, last_http_status = CAST(:http_status AS smallint),
           next_attempt_at = CASE WHEN :gone OR clock_timestamp() >= failing_since + :give_up_after THEN NULL
                                  ELSE LEAST(clock_timestamp() + :pause,
                                             COALESCE(failing_since, clock_timestamp()) + :give_up_after) END,
           disabled_reason = CASE WHEN NOT is_active THEN disabled_reason
                                  WHEN :gone THEN 'gone'
                                  WHEN clock_timestamp() >= failing_since + :give_up_after THEN 'failing' END,
           is_active = is_active AND NOT :gone
                       AND (failing_since IS NULL OR clock_timestamp() < failing_since + :give_up_after),
           lease_token = NULL, lease_until = NULL
     WHERE id = :webhook AND lease_token = :token AND url = :url
    RETURNING is_active, disabled_reason, next_attempt_at, clock_timestamp() AS now
""")
_RESENT = text(f"""
    WITH held AS (
      UPDATE webhooks
         SET next_attempt_at = NULL, lease_until = {_CLOCK} + make_interval(secs => {LEASE_SECONDS})
       WHERE id = :webhook AND lease_token = :token
      RETURNING id, {_AS_READ} AS is_as_read
    ), record AS (
      UPDATE webhook_deliveries
         SET status = 'succeeded', attempts = attempts + 1, http_status = :http_status, at = clock_timestamp()
        FROM held
       WHERE webhook_deliveries.id = :delivery
    )
    SELECT is_as_read FROM held
""")
_NOT_RESENT = text("""
    UPDATE webhook_deliveries
       SET status = 'failed', at = clock_timestamp(),
           attempts = CASE WHEN id = :delivery THEN 1 ELSE 0 END,
           http_status = CASE WHEN id = :delivery THEN CAST(:http_status AS smallint) END,
           error = CASE WHEN id = :delivery THEN :error ELSE 'not tried, because an earlier line failed' END
     WHERE webhook_id = :webhook AND status = 'pending' AND (:all_of_them OR id = :delivery)
       AND EXISTS (SELECT FROM webhooks WHERE id = :webhook AND lease_token = :token)
""")


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of a webhook after a call of `take`: the new lease of the caller, or the lease of another sender."""

    token: UUID
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line to post. `body`: the frame; None if the line was purged. `delivery`: its record, if the line is resent."""

    seq: int
    body: dict[str, Any] | None
    delivery: UUID | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What the holder of a lease has to post, and how."""

    url: str
    events: Sequence[str]
    secret_versions: tuple[int, ...]
    """The versions of the secret that sign, newest first."""
    failures: int
    lines: Sequence[Line] = field(default_factory=tuple)
    skip_to: int | None = None
    """The end of the log, if the webhook is not subscribed to the events of the lines after the last one to post."""


def take(connection: Connection, webhook_id: UUID, token: UUID, *, at_once: bool = False) -> Lease | None:
    """Take the lease if it is free, and return it. Otherwise return the lease that another sender holds.

    Return None if there is nothing to do: the webhook is deleted, is not active, or is in its pause after a failure and
    has no line to resend. `at_once`: end that pause.
    """
    row = connection.execute(_TAKE, {"webhook": webhook_id, "token": token, "at_once": at_once}).one_or_none()
    return None if row is None else Lease(row.lease_token, row.seconds_left)


def next_work(connection: Connection, webhook_id: UUID, token: UUID) -> Work | None:
    """Extend the lease, and return what is to be posted. If there is nothing, release the lease and return None.

    Call this in a transaction of its own, which locks the row of the webhook first. A transaction that writes a further
    line also sends a delivery command, and the handler of that command waits for this lock. So either this function
    finds the line, or it releases the lease and the handler takes it.
    """
    row = connection.execute(_EXTEND_AND_READ, {"webhook": webhook_id, "token": token}).one_or_none()
    if row is None:
        return None
    if row.is_active:
        lines = _to_resend(connection, row)
        skip_to = None
        if not lines and row.is_due:
            lines, skip_to = _after_the_cursor(connection, row)
        if lines or skip_to is not None:
            versions = webhook_secrets.signing_versions(row.secret_version, row.old_secrets, row.now)
            return Work(row.url, row.events, versions, row.failures, lines, skip_to)
    release(connection, webhook_id, token)
    return None


def _to_resend(connection: Connection, row: Any) -> list[Line]:
    found = connection.execute(_TO_RESEND, {"webhook": row.id, "user": row.user_id})
    return [
        Line(each.seq, None if each.id is None else _body(each), each.delivery_id) for each in found.all()
    ]


def _body(row: Any) -> dict[str, Any]:
    item = {"id": str(row.id), "event": row.event, "at": rfc3339(row.at), "data": row.data}
    return frame(item, row.seq, row.own)


def _after_the_cursor(connection: Connection, row: Any) -> tuple[list[Line], int | None]:
    # The end of the log is read first. Every line up to it is then visible to the next statement, so no line is skipped
    # unread.
    newest = newest_seq(connection, row.user_id)
    wanted = None if "*" in row.events else row.events
    lines = [
        Line(each["seq"], each)
        for each in lines_after(connection, row.user_id, row.delivered_seq, PORTION, wanted)
    ]
    last = lines[-1].seq if lines else row.delivered_seq
    return lines, newest if len(lines) < PORTION and newest > last else None


def release(connection: Connection, webhook_id: UUID, token: UUID) -> None:
    """Release the lease, and delete the command that would continue the delivery after the end of the lease."""
    parameters = {"webhook": webhook_id, "token": token}
    if connection.execute(_RELEASE, parameters).rowcount:
        connection.execute(_DELETE_CHECK, parameters)


def extend(connection: Connection, webhook_id: UUID, token: UUID, work: Work) -> bool:
    """Extend the lease.

    Return False if another sender has taken the lease, or if the webhook's owner has changed it since the work was
    read.
    """
    return bool(connection.execute(_EXTEND, _parameters(webhook_id, token, work)).scalar())


def record_success(
    connection: Connection, webhook_id: UUID, token: UUID, work: Work, line: Line, http_status: int | None
) -> bool:
    """Record that a line was delivered, and extend the lease.

    Return whether the next line may be posted: False in the same cases as `extend`.
    """
    parameters = {**_parameters(webhook_id, token, work), "http_status": http_status}
    if line.delivery is not None:
        found = connection.execute(_RESENT, {**parameters, "delivery": line.delivery})
    else:
        assert line.body is not None
        about = {"seq": line.seq, "event_id": line.body["id"], "event": line.body["event"]}
        found = connection.execute(_DELIVERED, {**parameters, **about})
    return bool(found.scalar())


def _parameters(webhook_id: UUID, token: UUID, work: Work) -> dict[str, Any]:
    return {
        "webhook": webhook_id,
        "token": token,
        "url": work.url,
        "events": to_json(work.events).decode(),
        "secret_version": work.secret_versions[0],
    }


def skip(connection: Connection, webhook_id: UUID, token: UUID, seq: int) -> None:
    """Move the cursor over lines of events to which the webhook is not subscribed."""
    connection.execute(_SKIP, {"webhook": webhook_id, "token": token, "seq": seq})


def record_failure(
    connection: Connection,
    webhook_id: UUID,
    token: UUID,
    *,
    url: str,
    error: str,
    http_status: int | None,
    gone: bool,
    pause: timedelta,
) -> bool:
    """Record a failed attempt at a line of the log, and release the lease. Return whether it was recorded.

    Send the command for the next attempt, or for the report that the webhook is disabled now. Nothing is recorded, and the
    lease is kept, if the owner has changed the URL meanwhile.
    """
    parameters = {"webhook": webhook_id, "token": token}
    row = connection.execute(
        _FAILED,
        {
            **parameters,
            "url": url,
            "error": error,
            "http_status": http_status,
            "gone": gone,
            "pause": pause,
            "give_up_after": GIVE_UP_AFTER,
        },
    ).one_or_none()
    if row is None:
        return False
    connection.execute(_DELETE_CHECK, parameters)
    connection.execute(_DELETE_EARLIER_RETRIES, {"webhook": webhook_id, "soon": OLD_TRANSACTIONS_END_WITHIN})
    if row.is_active:
        _send(connection, DeliverWebhook(webhook_id=webhook_id), row.now, row.next_attempt_at)
    elif row.disabled_reason != DisabledReason.OWNER:
        reason = DisabledReason(row.disabled_reason)
        _send(connection, ReportDisabled(webhook_id=webhook_id, reason=reason), row.now, None)
    return True


def record_resend_failure(
    connection: Connection,
    webhook_id: UUID,
    token: UUID,
    line: Line,
    *,
    http_status: int | None,
    error: str,
    others_too: bool,
) -> None:
    """Record that a line could not be resent. `others_too`: the other lines that are to be resent fail as well, without an attempt."""
    connection.execute(
        _NOT_RESENT,
        {
            "webhook": webhook_id,
            "token": token,
            "delivery": line.delivery,
            "http_status": http_status,
            "error": error,
            "all_of_them": others_too,
        },
    )


def _send(connection: Connection, command: Command, now: datetime, due_at: datetime | None) -> None:
    # No wake-up is sent, because the sender has no broker. The sweep finds the row within about a second.
    connection.execute(insert(MAILBOX), mailbox.row_for(command, now=now, due_at=due_at))
