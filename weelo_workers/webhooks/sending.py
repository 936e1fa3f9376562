"""Posts lines of the log to webhooks, in an event loop in a thread of its own, one task per webhook.

So an endpoint that does not answer delays neither other endpoints nor the worker's commands.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, TypeVar
from uuid import UUID

from pydantic_core import to_json

from weelo_workers import tracing, webhook_secrets
from weelo_workers.lifecycles.webhook import retry_delay
from weelo_workers.metrics import counters
from weelo_workers.models.engine import DATABASE_ERRORS, engine
from weelo_workers.randomness import uniform
from weelo_workers.settings import settings
from weelo_workers.webhooks import leases
from weelo_workers.webhooks.leases import Line, Work
from weelo_workers.webhooks.posting import ATTEMPT_SECONDS, Attempt, Resolver, post

log = logging.getLogger(__name__)

T = TypeVar("T")

DATABASE_THREADS = 4
# Each post needs a file descriptor, and a process has a limited number. Posts get this share; the other file
# descriptors are for the database, Redis and look-ups.
MOST_POSTS_AT_ONCE = 2_000
SHARE_OF_FILES = 0.5
# Of the posts that run at the same time, at most this share is to webhooks that have failed before, because each of
# these posts may wait for 10 s. The rest is for the other webhooks.
SHARE_OF_FAILING = 0.25
# If the lease was extended longer ago than this, it is extended again before an attempt, so that the attempt ends
# before the lease does.
EXTEND_AFTER_SECONDS = 4.0
# If extending a lease took longer than this, no attempt begins, because the attempt could outlast the lease.
LATEST_START_SECONDS = leases.LEASE_SECONDS - ATTEMPT_SECONDS - 1


class Sender:
    """An event loop in a thread. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._database = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="webhooks")
        self._tasks: set[asyncio.Task[None]] = set()
        places = _posts_at_once()
        places_of_failing = max(1, int(places * SHARE_OF_FAILING))
        self._places = asyncio.Semaphore(max(1, places - places_of_failing))
        self._places_of_failing = asyncio.Semaphore(places_of_failing)
        self._resolver = Resolver()
        threading.Thread(target=self._loop.run_forever, name="webhooks", daemon=True).start()

    def start(self, webhook_id: UUID, token: UUID) -> None:
        """Begin to post what this webhook has not received. The caller has taken the lease with this token."""
        self._loop.call_soon_threadsafe(self._begin, webhook_id, token)

    def post_now(
        self, url: str, webhook_id: UUID, versions: Sequence[int], message_id: str, body: dict[str, Any]
    ) -> Attempt:
        """Post one message, wait until the attempt has ended, and return the attempt.

        `versions`: the versions of the webhook's secret with which the message is signed.
        """
        posting = self._post(url, _secrets(webhook_id, versions), message_id, body)
        return asyncio.run_coroutine_threadsafe(posting, self._loop).result()

    def _begin(self, webhook_id: UUID, token: UUID) -> None:
        task = self._loop.create_task(self._deliver(webhook_id, token))
        self._tasks.add(task)  # The set keeps the task alive: the loop has only a weak reference to it.
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, webhook_id: UUID, token: UUID) -> None:
        """Post line after line until none is left, one fails, or the lease is lost."""
        try:
            goes_on = True
            while goes_on:
                read_at, work = await self._in_database(_with_start(leases.next_work), webhook_id, token)
                goes_on = work is not None and await self._post_all(webhook_id, token, work, read_at)
        except DATABASE_ERRORS as error:
            # The lease is not extended any more, so it ends soon. After its end, the command that `deliver` has sent
            # for that time takes a new lease and continues.
            log.warning("webhook %s waits for the database: %s", webhook_id, str(error).splitlines()[0])
        except Exception:
            log.exception("the deliveries of webhook %s stopped", webhook_id)

    async def _post_all(self, webhook_id: UUID, token: UUID, work: Work, extended: float) -> bool:
        """Post these lines in order. Return whether `next_work` has to be called again.

        `next_work` has to be called even if the lease is lost or the owner has changed the webhook. A delivery command
        that finds the lease taken leaves its lines to the holder. Only `next_work` finds these lines before it releases
        the lease.

        `extended`: a time (monotonic clock) just before the lease was last extended.
        """
        secrets = _secrets(webhook_id, work.secret_versions)
        for line in work.lines:
            if line.body is None:
                await self._record_purged(webhook_id, token, line)
                continue
            async with self._places_of_failing if work.failures else self._places:
                if time.monotonic() - extended > EXTEND_AFTER_SECONDS:
                    renewed, is_mine = await self._in_database(
                        _with_start(leases.extend), webhook_id, token, work
                    )
                    if not is_mine or time.monotonic() - renewed > LATEST_START_SECONDS:
                        return True
                attempt = await self._post(work.url, secrets, line.body["id"], line.body)
            extended = time.monotonic()  # recording the result has extended the lease
            if not attempt.delivered:
                return await self._record_failure(webhook_id, token, work, line, attempt)
            if not await self._in_database(
                leases.record_success, webhook_id, token, work, line, attempt.http_status
            ):
                return True
        if work.skip_to is not None:
            await self._in_database(leases.skip, webhook_id, token, work.skip_to)
        return True

    async def _record_failure(
        self, webhook_id: UUID, token: UUID, work: Work, line: Line, attempt: Attempt
    ) -> bool:
        error = attempt.error or ""
        if line.delivery is not None:
            record = partial(
                leases.record_resend_failure,
                http_status=attempt.http_status,
                error=error,
                others_too=True,
            )
            await self._in_database(record, webhook_id, token, line)
            if not attempt.gone:
                return True
        pause = retry_delay(work.failures + 1, uniform(0.8, 1.2))
        fail = partial(
            leases.record_failure,
            url=work.url,
            error=error,
            http_status=attempt.http_status,
            gone=attempt.gone,
            pause=pause,
        )
        return not await self._in_database(fail, webhook_id, token)

    async def _record_purged(self, webhook_id: UUID, token: UUID, line: Line) -> None:
        error = "the log no longer has this line"
        record = partial(leases.record_resend_failure, http_status=None, error=error, others_too=False)
        await self._in_database(record, webhook_id, token, line)

    async def _post(self, url: str, secrets: list[str], message_id: str, body: dict[str, Any]) -> Attempt:
        in_production = settings().weelo_env == "production"
        # The span does not contain the URL, because its path may be a secret of the endpoint.
        with tracing.span("post to a webhook", "client", {"weelo.event": body.get("event")}):
            attempt = await post(
                url, secrets, message_id, to_json(body), in_production=in_production, resolve=self._resolver
            )
            tracing.annotate(
                {"weelo.result": attempt.result, "http.response.status_code": attempt.http_status}
            )
        counters.WEBHOOK_ATTEMPTS.labels(attempt.result).inc()
        counters.WEBHOOK_SECONDS.observe(attempt.seconds)
        return attempt

    async def _in_database(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run the function with a connection, in a transaction of its own, in another thread."""
        return await self._loop.run_in_executor(
            self._database, partial(_in_transaction, function, *arguments)
        )


def _secrets(webhook_id: UUID, versions: Sequence[int]) -> list[str]:
    """Return these versions of the webhook's secret, with which a message is signed."""
    key = settings().webhook_key
    return [webhook_secrets.secret(key, webhook_id, version) for version in versions]


def _posts_at_once() -> int:
    """Return how many posts may be under way in this process."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return MOST_POSTS_AT_ONCE
    return max(1, min(MOST_POSTS_AT_ONCE, int(files * SHARE_OF_FILES)))


def _with_start(function: Callable[..., T]) -> Callable[..., tuple[float, T]]:
    """Return a function that calls `function`, and returns the time (monotonic clock) before the call and the result."""
    return lambda *arguments: (time.monotonic(), function(*arguments))


def _in_transaction(function: Callable[..., T], *arguments: Any) -> T:
    with engine().begin() as connection:
        return function(connection, *arguments)


@lru_cache(maxsize=1)
def sender() -> Sender:
    """Return this process's sender. It is created at the first use, which is after the fork of a worker's child process."""
    return Sender()


def start(webhook_id: UUID, token: UUID) -> None:
    """Begin to post in this process what the webhook has not received. The caller has taken the lease."""
    sender().start(webhook_id, token)
