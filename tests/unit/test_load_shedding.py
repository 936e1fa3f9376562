"""Load shedding, without a database: which commands are refused depends on the queues that are late."""

from __future__ import annotations

import math
import time
from uuid import uuid4

import pytest

from tests.support.wakers import NullWaker, RecordingWaker
from weelo_api.commands import load_shedding
from weelo_api.commands.load_shedding import MANY, MAX_RETRY_AFTER_SECONDS, LoadShedder
from weelo_workers.contracts.broadcasts import CreateBooking, NewBooking
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.fleet import SetAvailability
from weelo_workers.contracts.queues import BROADCASTS, FLEET, TIMERS, TRIPS, Queue
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.wire import Place
from weelo_workers.queries.backlog import Wait
from weelo_workers.settings import settings

_DELHI = Place(latitude=28.6, longitude=77.2, address="New Delhi")
_BOOKING = NewBooking(
    pickup=_DELHI, drop=_DELHI, vehicle_type="open", vehicle_subtype="17 Feet", trucks_needed=1
)
NEW = CreateBooking(customer_id=uuid4(), request=_BOOKING)
OLD = SetAvailability(transporter_id=uuid4(), is_available=True)


def shedder(queue: Queue, seconds: float, count: int = MANY, *, read_ago: float = 0.0) -> LoadShedder:
    """Return a shedder that has read these figures of one queue and reads no others during the test."""
    made = LoadShedder()
    made._waits = {queue: Wait(count, seconds)}
    made._looked_at = time.monotonic() - read_ago
    made._looking.acquire()
    return made


@pytest.fixture(autouse=True)
def broker_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_shedding, "waker", RecordingWaker)


@pytest.mark.parametrize(
    ("command", "queue", "times_the_limit", "refused"),
    [
        (NEW, BROADCASTS, 0.9, False),
        (NEW, BROADCASTS, 1.1, True),
        (NEW, TIMERS, 1.1, True),
        (NEW, TRIPS, 100, False),
        (OLD, FLEET, 1.1, False),
        (OLD, FLEET, 4.9, False),
        (OLD, FLEET, 5.1, True),
        (OLD, TIMERS, 100, False),
    ],
)
def test_new_work_is_refused_first(
    command: Command, queue: Queue, times_the_limit: float, refused: bool
) -> None:
    rejected = shedder(queue, settings().shed_after_seconds * times_the_limit).refusal(command)
    assert (rejected is not None) is refused


def test_the_pause_is_about_as_long_as_the_queue_and_limited() -> None:
    limit = settings().shed_after_seconds
    rejected = shedder(BROADCASTS, limit + 0.5).refusal(NEW)
    assert rejected is not None and rejected.code is Code.SERVICE_UNAVAILABLE
    shortest = math.ceil(limit + 0.5)
    assert min(shortest, MAX_RETRY_AFTER_SECONDS) <= rejected.extra["retryAfter"] <= shortest + 2
    endless = shedder(BROADCASTS, 10_000).refusal(NEW)
    assert endless is not None and endless.extra["retryAfter"] == MAX_RETRY_AFTER_SECONDS


def test_a_few_old_rows_are_no_overload() -> None:
    assert shedder(BROADCASTS, 10_000, MANY - 1).refusal(NEW) is None


def test_old_figures_refuse_nothing() -> None:
    assert shedder(BROADCASTS, 10_000, read_ago=load_shedding.STALE_AFTER_SECONDS + 1).refusal(NEW) is None


def test_without_redis_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_shedding, "waker", NullWaker)
    assert shedder(BROADCASTS, 10_000).refusal(NEW) is None
