"""The way in for commands: a mailbox row, a ring, 202."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4, uuid5

from flask import Response, request
from pydantic import BaseModel, ValidationError

from weelo_api.access import caller
from weelo_api.errors import problem_response, validation_error
from weelo_api.hub import hub
from weelo_api.internal import wake
from weelo_api.json_body import JsonBody
from weelo_api.load_shedding import LoadShedder, TokenBuckets
from weelo_workers.contracts.command import Caller, Command
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.wire import Request, rfc3339
from weelo_workers.messaging import mailbox
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine, is_disconnect
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 30
# News of an outcome comes by Redis within milliseconds; looking at the row now and then covers its absence.
POLL_SECONDS = 0.25
# A process that is about to end waits for nobody long: 202 is an answer, too. Within gunicorn's graceful_timeout.
CLOSING_WAIT_SECONDS = 2.0
# Of gunicorn's threads. Whoever comes when so many wait for outcomes is answered 202 at once.
MAX_WAITING_REQUESTS = 150

# Longer than a database takes to come back after a crash, or a standby to take over a connection.
IN_DOUBT_SECONDS = 5.0
IN_DOUBT = "It is not known whether this was recorded. Ask again with the same Idempotency-Key."

_buckets = TokenBuckets(settings().commands_per_second)
_shedder = LoadShedder()
_places = threading.BoundedSemaphore(MAX_WAITING_REQUESTS)

_KEYS = uuid5(UUID(int=0), "weelo idempotency keys")
_KEY = re.compile(r"[A-Za-z0-9:_-]{8,128}")
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)


def has_idempotency_key() -> bool:
    """Whether the client named this request itself."""
    return request.headers.get("Idempotency-Key") is not None


def submit(command: Command, body: BaseModel | None = None) -> Response:
    """Record the command and answer 202, or with its outcome if the client prefers to wait for it.

    `body`: what the client said, as it was validated; None for a route that takes nothing.
    """
    if body is None:
        _expect_nothing()
    who = caller()
    _buckets.take(who.id)
    command_id = _command_id(who)
    # A repetition of what was accepted is no new work.
    if (refusal := _shedder.refusal(command)) and not (has_idempotency_key() and find(command_id, who)):
        raise refusal
    wait = _preferred_wait()
    with hub().outcomes.expecting(command_id) as settled, _patience(wait) as patience:
        until = time.monotonic() + patience
        posted = _post(command, who, command_id, _fingerprint(body))
        if posted.conflicting:
            raise Rejected(Code.IDEMPOTENCY_CONFLICT, "Use a new key for a new request.")
        if posted.fresh:
            wake(command_id, command)
        outcome = _outcome(posted.outcome, who, until, settled)
    if wait is not None and outcome.status != "pending":
        return _answer(outcome, wait, replayed=not posted.fresh)
    return _accepted(outcome, replayed=not posted.fresh)


def _outcome(known: CommandOutcome, who: Caller, until: float, settled: threading.Event) -> CommandOutcome:
    """Wait for the outcome until `until` (monotonic) and return the newest one known.

    Raises nothing: the command is recorded, so a failure here must not refuse it.
    """
    closing = False
    while known.status == "pending" and (left := until - time.monotonic()) > 0:
        settled.wait(min(left, POLL_SECONDS))
        try:
            known = find(known.command_id, who) or known
        except DATABASE_ERRORS:
            pass  # the next look may succeed
        except Exception:
            log.exception("the outcome of %s could not be read", known.command_id)
            return known
        if hub().closing and not closing:
            closing, until = True, min(until, time.monotonic() + CLOSING_WAIT_SECONDS)
    return known


def _expect_nothing() -> None:
    """Unknown fields are refused where there are no others, too."""
    try:
        Request.model_validate_json(cast(JsonBody, request).get_json_of_any_type())
    except ValidationError as error:
        raise validation_error(error) from None


@contextmanager
def _patience(wait: int | None) -> Iterator[int]:
    """For how many seconds to wait for an outcome."""
    if not wait or not _places.acquire(blocking=False):
        yield 0
        return
    try:
        yield wait
    finally:
        _places.release()


def _post(command: Command, who: Caller, command_id: UUID, fingerprint: str) -> mailbox.Posted:
    """The command's row. When the connection breaks in the middle of it, nobody knows whether it was written, so
    503 ("nothing was accepted") might be a lie: the same again tells, since it changes nothing.

    Raises Rejected(INTERNAL_ERROR) if it stays unknown.
    """
    in_doubt_until: float | None = None
    while True:
        try:
            with autocommit_engine().connect() as connection:
                posted = mailbox.post(connection, command, who, command_id, fingerprint)
        except DATABASE_ERRORS as error:
            if in_doubt_until is None:
                if not is_disconnect(error):
                    raise
                in_doubt_until = time.monotonic() + IN_DOUBT_SECONDS
            if time.monotonic() > in_doubt_until:
                raise Rejected(Code.INTERNAL_ERROR, IN_DOUBT) from error
            time.sleep(random.uniform(0.05, 0.2))
        else:
            # What is found now may be our own first try, for which nobody has rung yet.
            return posted if in_doubt_until is None else replace(posted, fresh=True)


def find(command_id: UUID, who: Caller) -> CommandOutcome | None:
    with autocommit_engine().connect() as connection:
        return mailbox.find_outcome(connection, command_id, who.id)


def _command_id(who: Caller) -> UUID:
    """The caller's key makes the id, so nobody can pre-empt or read another's command."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return uuid4()
    if not _KEY.fullmatch(key):
        message = "8 to 128 characters of A-Z, a-z, 0-9, colon, underscore and hyphen"
        raise Rejected(
            Code.VALIDATION_ERROR,
            f"Idempotency-Key: {message}",
            {"errors": [{"field": "Idempotency-Key", "message": message}]},
        )
    return uuid5(_KEYS, f"{who.id}:{key}")


def _fingerprint(body: BaseModel | None) -> str:
    """Defaults are left out, so that a retry across a deploy that adds a field is still the same request."""
    text = json.dumps(body.model_dump(mode="json", exclude_defaults=True), sort_keys=True) if body else ""
    return hashlib.sha256(f"{request.method} {request.path}\n{text}".encode()).hexdigest()


def _preferred_wait() -> int | None:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most 30; None without it."""
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
    """202: it will be executed, whatever dies next. A replay says what is known of the first already."""
    body: dict[str, Any] = {
        "commandId": str(outcome.command_id),
        "command": outcome.command,
        "status": outcome.status,
        "acceptedAt": rfc3339(outcome.received_at),
        "serverTime": rfc3339(datetime.now(UTC)),
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
