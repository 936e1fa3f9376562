"""The lifecycle of a mailbox row, and the decision between a retry and parking after a failed attempt.

A row is a command of a client, a timer or a push. Its state is not a column: it follows from five columns, see
`state_of`. `models/mailbox.py` has the same rules as SQL conditions; a test compares both in the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from weelo_workers.backoff import backoff
from weelo_workers.lifecycles.lifecycle import Lifecycle


class MailboxState(StrEnum):
    WAITING = "waiting"
    """The row has not failed. A single possible crash may be chance (a restart, a power cut), so the row is still waiting."""
    RETRYING = "retrying"
    """The row has failed before. After a pause it is tried by itself, not together with other rows."""
    PARKED = "parked"
    """The row has failed too often. It is tried again only after `weelo mailbox retry`."""
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    """The handler rejected the command. That is an outcome, not a failure."""


class Actor(StrEnum):
    """The part of the system that changes the state of a row."""

    API = "API"
    """The API records a client's command."""
    WORKER = "worker"
    SWEEP = "sweep"
    """Beat executes a command itself if wake-ups had no effect."""
    FAILURE = "failure"
    """A failed attempt is recorded in a transaction of its own, by the process that made the attempt."""
    OPERATOR = "operator"
    """A person, by `weelo mailbox retry`."""


S, A = MailboxState, Actor

LIFECYCLE = Lifecycle(
    "mailbox",
    initial=S.WAITING,
    final=frozenset({S.SUCCEEDED, S.REJECTED}),
    created_by=(A.API, A.WORKER, A.SWEEP),
)

SUCCEED = LIFECYCLE.transition(
    "succeed", when={S.WAITING, S.RETRYING}, to=S.SUCCEEDED, by=(A.WORKER, A.SWEEP)
)
REJECT = LIFECYCLE.transition("reject", when={S.WAITING, S.RETRYING}, to=S.REJECTED, by=(A.WORKER, A.SWEEP))
FAIL = LIFECYCLE.transition("fail", when={S.WAITING, S.RETRYING}, to=S.RETRYING, by=(A.FAILURE,))
GIVE_UP = LIFECYCLE.transition("give_up", when={S.RETRYING}, to=S.PARKED, by=(A.FAILURE, A.WORKER, A.SWEEP))
"""The row is parked after an exception, or instead of an attempt that may crash once more."""
REQUEUE = LIFECYCLE.transition("requeue", when={S.RETRYING, S.PARKED}, to=S.WAITING, by=(A.OPERATOR,))
MARK_CRASH = LIFECYCLE.transition(
    "mark_crash", when={S.WAITING, S.RETRYING}, to=S.RETRYING, by=(A.WORKER, A.SWEEP)
)
"""A process cannot record its own crash, so a possible crash is recorded before a risky attempt. The first mark leaves
the row waiting."""
UNMARK_CRASH = LIFECYCLE.transition("unmark_crash", when={S.RETRYING}, to=S.WAITING, by=(A.WORKER, A.SWEEP))
"""The attempt returned, so it did not crash."""

MAX_ATTEMPTS = 5
"""A command with this many failures, or this many possible crashes, is parked. A timer is never parked."""

CHANCE_CRASHES = 1
"""This many possible crashes may be chance. A row with more is treated as failing."""

MAX_RETRY_DELAY_SECONDS = 300.0


def state_of(*, settled_as: str | None, parked: bool, attempts: int, crashes: int) -> MailboxState:
    """Return the state of a row. `settled_as`: its status once it is settled, otherwise None."""
    if settled_as is not None:
        return MailboxState(settled_as)
    if parked:
        return S.PARKED
    return S.RETRYING if failed_before(attempts, crashes) else S.WAITING


def failed_before(attempts: int, crashes: int) -> bool:
    """Return whether a row with these numbers of failures and possible crashes is treated as failing."""
    return attempts > 0 or crashes > CHANCE_CRASHES


@dataclass(frozen=True, slots=True)
class AfterFailure:
    """What follows a failed attempt."""

    retry_at: datetime
    """No attempt is made before this time."""
    parked: bool
    """Whether no further attempt is made until an operator requeues the row."""


def after_failure(
    *, attempts: int, crashes: int, is_timer: bool, now: datetime, spread: float
) -> AfterFailure:
    """Decide whether a row is parked after a failed attempt, or else when it is retried.

    `attempts` and `crashes` include the attempt that has just failed. A timer is never parked: without it a broadcast
    would stay open for ever. `spread`: a factor around 1 for the delay, so that many rows that failed together are not
    tried again at the same moment.
    """
    tries = attempts + crashes
    delay = timedelta(seconds=backoff(tries, first=1.0, longest=MAX_RETRY_DELAY_SECONDS) * spread)
    return AfterFailure(retry_at=now + delay, parked=tries >= MAX_ATTEMPTS and not is_timer)
