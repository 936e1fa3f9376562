"""Beat logs once that a queue has no worker, and once that the queue is consumed again."""

from __future__ import annotations

import logging
from math import inf
from types import SimpleNamespace

import pytest

from weelo_workers.contracts.queues import Queue
from weelo_workers.doctor import idle_queues
from weelo_workers.messaging.worker_heartbeats import Consumption

CONSUMED: dict[Queue, Consumption] = {"offers": Consumption(1, 0.0, 1.0), "trips": Consumption(1, 0.0, 1.0)}
WITHOUT_WORKER: dict[Queue, Consumption] = {**CONSUMED, "offers": Consumption(0, 0.0, inf)}
FROZEN: dict[Queue, Consumption] = {**CONSUMED, "trips": Consumption(1, 9.0, 12.0)}


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(idle_queues, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


def test_a_queue_without_a_worker_is_logged_once_and_so_is_its_end(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    log = idle_queues.IdleQueueLog()
    for _ in range(60):
        log.note(WITHOUT_WORKER)
        clock.now += 1
    for _ in range(3):
        log.note(CONSUMED)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "queue offers: no worker consumes it; beat executes its commands one by one"),
        (logging.WARNING, "queue offers is consumed again, after 60 s"),
    ]


def test_frozen_child_processes_are_logged_too(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    log = idle_queues.IdleQueueLog()
    for _ in range(20):
        log.note(FROZEN)
        clock.now += 1
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("queue trips: a message has waited for a child process of its worker for 9 s")


def test_a_restart_is_not_logged_and_an_outage_of_the_database_does_not_count(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    log = idle_queues.IdleQueueLog()
    for seen in (WITHOUT_WORKER, CONSUMED, WITHOUT_WORKER):
        log.note(seen)
        clock.now += 10
    log.forget()
    log.note(WITHOUT_WORKER)
    assert not caplog.records
