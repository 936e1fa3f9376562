"""Submission of commands: store a mailbox row, wake a worker, answer with 202 or the outcome."""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast
from uuid import UUID

from flask import Response, request
from pydantic import BaseModel, ValidationError
from sqlalchemy import ColumnElement, Connection

from weelo_api.commands.idempotency import command_id_of_request, fingerprint, has_idempotency_key
from weelo_api.commands.internal import wake
from weelo_api.commands.load_shedding import LoadShedder
from weelo_api.commands.outcome_waiters import Waiting, outcome_waiters
from weelo_api.commands.rate_limit import take_token
from weelo_api.http import request_metrics
from weelo_api.http.access import caller
from weelo_api.http.declared import ensure_declared
from weelo_api.http.errors import problem_response, validation_error
from weelo_api.http.json_body import JsonBody
from weelo_workers import clock
from weelo_workers.contracts.command import Caller, Command
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.wire import Request, rfc3339
from weelo_workers.logs.context import bind
from weelo_workers.messaging import mailbox
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine, is_disconnect
from weelo_workers.queries.webhooks import with_secret

log = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 30
# Redis announces an outcome within milliseconds. Polling the row covers lost announcements.
POLL_SECONDS = 0.25
# During a shutdown a waiting request gets a 202 after this time, which must be shorter than gunicorn's
# graceful_timeout.
CLOSING_WAIT_SECONDS = 2.0
# At most this many of gunicorn's threads wait for outcomes. Further requests get their 202 at once.
MAX_WAITING_REQUESTS = 150

# For how long an insert in doubt is repeated. PostgreSQL restarts after a crash, or fails over to a standby, in less
# time.
IN_DOUBT_SECONDS = 5.0
IN_DOUBT = "It is not known whether this was recorded. Ask again with the same Idempotency-Key."

_shedder = LoadShedder()
_places = threading.BoundedSemaphore(MAX_WAITING_REQUESTS)

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Admission:
    """A check of a command before it is recorded. A refused command is not recorded, so its key can be used again.

    `may_refuse`: a condition in SQL. If it is false, the command is recorded without a further check. If it is true,
    `refusal` decides: it is called with the connection to the primary database, and returns the rejection, or None.
    """

    may_refuse: ColumnElement[bool]
    refusal: Callable[[Connection], Rejected | None]


def submit(command: Command, body: BaseModel | None = None, admission: Admission | None = None) -> Response:
    """Store the command and return a 202, or its outcome after `Prefer: wait`. Raises Rejected if it was not accepted.

    `body` is the validated body, None for a route without one. A repeated request is not checked by `admission`.
    """
    ensure_declared(command)
    if body is None:
        _expect_nothing()
    user = caller()
    take_token(user)
    command_id = command_id_of_request(user.id)
    bind(command_id=command_id, command=command.name, role=user.role)
    # The repetition of an accepted request is no new work, so it is not shed.
    if (refusal := _shedder.refusal(command)) and not (has_idempotency_key() and find(command_id, user)):
        request_metrics.set_unavailable_cause(request_metrics.SHED)
        raise refusal
    wait = _preferred_wait()
    with outcome_waiters().expecting(command_id) as waiting, _waiting_place(wait) as seconds:
        until = time.monotonic() + seconds
        posted = _post(command, user, command_id, fingerprint(body), admission)
        if posted.conflicting:
            raise Rejected(Code.IDEMPOTENCY_CONFLICT, "Use a new key for a new request.")
        if posted.fresh:
            wake(command_id, command)
        outcome = with_secret(_outcome(posted.outcome, user, until, waiting))
    if wait is not None and outcome.status != "pending":
        return _answer(outcome, wait, replayed=not posted.fresh)
    return _accepted(outcome, replayed=not posted.fresh)


def record(
    command: Command,
    user: Caller,
    command_id: UUID,
    fingerprint: str,
    *,
    wait: float,
    admission: Admission | None = None,
) -> CommandOutcome:
    """Store a command that was not sent to a route of the API, such as one from the console, and return its outcome.

    The outcome is `pending` if the command is not settled within `wait` seconds. The limits are those of `submit`.
    Storing the same id again returns the first outcome. Raises Rejected.
    """
    take_token(user)
    if (refusal := _shedder.refusal(command)) and not find(command_id, user):
        raise refusal
    with outcome_waiters().expecting(command_id) as waiting:
        until = time.monotonic() + wait
        posted = _post(command, user, command_id, fingerprint, admission)
        if posted.conflicting:
            raise Rejected(Code.IDEMPOTENCY_CONFLICT, "Use a new key for a new request.")
        if posted.fresh:
            wake(command_id, command)
        return _outcome(posted.outcome, user, until, waiting)


def _outcome(known: CommandOutcome, user: Caller, until: float, waiting: Waiting) -> CommandOutcome:
    """Wait until the command is settled, at most until `until` (monotonic clock), and return the latest known outcome.

    Raises nothing: the command is recorded already, so an error here must not become the response.
    """
    closing = False
    while known.status == "pending" and (left := until - time.monotonic()) > 0:
        waiting.wait(min(left, POLL_SECONDS))
        if waiting.outcome is not None:
            return waiting.outcome
        try:
            known = find(known.command_id, user) or known
        except DATABASE_ERRORS:
            pass  # the outcome is read again at the next poll
        except Exception:
            log.exception("the outcome of a command could not be read")
            return known
        if outcome_waiters().closing and not closing:
            closing, until = True, min(until, time.monotonic() + CLOSING_WAIT_SECONDS)
    return known


def _expect_nothing() -> None:
    """Raise Rejected(VALIDATION_ERROR) if the body has fields."""
    try:
        Request.model_validate_json(cast(JsonBody, request).get_json_of_any_type())
    except ValidationError as error:
        raise validation_error(error) from None


@contextmanager
def _waiting_place(wait: int | None) -> Iterator[int]:
    """Yield how many seconds the request may wait for the outcome: 0 if too many requests wait already."""
    if not wait or not _places.acquire(blocking=False):
        yield 0
        return
    try:
        yield wait
    finally:
        _places.release()


def _post(
    command: Command, user: Caller, command_id: UUID, fingerprint: str, admission: Admission | None
) -> mailbox.Posted:
    """Store the command and return its row.

    If the connection breaks, the row may have been inserted. A 503 would mean that nothing was stored, which could be
    false, so the insert is repeated: it is idempotent. Raises Rejected(INTERNAL_ERROR) if this fails for
    IN_DOUBT_SECONDS, or the rejection that `admission` returns.
    """
    in_doubt_until: float | None = None
    while True:
        try:
            with autocommit_engine().connect() as connection:
                posted = _post_on(connection, command, user, command_id, fingerprint, admission)
        except DATABASE_ERRORS as error:
            if in_doubt_until is None:
                if not is_disconnect(error):
                    raise
                in_doubt_until = time.monotonic() + IN_DOUBT_SECONDS
            if time.monotonic() > in_doubt_until:
                raise Rejected(Code.INTERNAL_ERROR, IN_DOUBT) from error
            time.sleep(random.uniform(0.05, 0.2))
        else:
            # The row may have been inserted by an attempt whose connection broke. No wake-up was sent then, so `fresh` is
            # set: it makes the caller of this function send one.
            return posted if in_doubt_until is None else replace(posted, fresh=True)


def _post_on(
    connection: Connection,
    command: Command,
    user: Caller,
    command_id: UUID,
    fingerprint: str,
    admission: Admission | None,
) -> mailbox.Posted:
    what = (connection, command, user, command_id, fingerprint)
    if admission is not None:
        posted = mailbox.post_unless(admission.may_refuse, *what)
        if posted is not None:
            return posted
        if (refused := admission.refusal(connection)) is not None:
            raise refused
    return mailbox.post(*what)


def find(command_id: UUID, user: Caller) -> CommandOutcome | None:
    """Return the outcome of this caller's command; None if there is no such command.

    The outcomes of CreateWebhook and RotateSecret include the secret.
    """
    with autocommit_engine().connect() as connection:
        outcome = mailbox.find_outcome(connection, command_id, user.id)
    return with_secret(outcome) if outcome else None


def _preferred_wait() -> int | None:
    """Return the seconds of `Prefer: wait=N` (RFC 7240), at most 30; None without it."""
    found = _WAIT.search(",".join(request.headers.getlist("Prefer")))
    return min(int(found[1]), MAX_WAIT_SECONDS) if found else None


def _answer(outcome: CommandOutcome, wait: int, *, replayed: bool) -> Response:
    if outcome.error is not None:
        response = problem_response(outcome.error)
    else:
        response = _json(outcome.result if outcome.result is not None else {}, outcome.http_status or 200)
    response.headers["Preference-Applied"] = f"wait={wait}"
    response.headers["Location"] = _location(outcome)
    if replayed or outcome.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _accepted(outcome: CommandOutcome, *, replayed: bool) -> Response:
    """Return the 202 for a stored command. For a repeated request it includes the outcome, if that is known."""
    body: dict[str, Any] = {
        "commandId": str(outcome.command_id),
        "command": outcome.command,
        "status": outcome.status,
        "acceptedAt": rfc3339(outcome.received_at),
        "serverTime": rfc3339(clock.now()),
        "replayed": replayed,
    }
    if replayed:
        body = {**outcome.json_dict(), **body}
    response = _json(body, 202)
    response.headers["Location"] = _location(outcome)
    return response


def _location(outcome: CommandOutcome) -> str:
    return f"/api/v1/commands/{outcome.command_id}"


def _json(body: Any, status: int) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
