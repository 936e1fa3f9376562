"""What the checks of processes, presence and the clock find, and what is reported if a check itself raises an error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import inf
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from tests.support.findings import findings
from tests.support.world import World
from weelo_workers.contracts.queues import QUEUES, Queue
from weelo_workers.doctor.check import CHECKS, Check, Examination, Severity
from weelo_workers.doctor.checks import presence
from weelo_workers.doctor.checks.processes import CONSUMED_LIMIT_SECONDS, idle_queues
from weelo_workers.doctor.examine import examine
from weelo_workers.messaging.beat_heartbeats import BeatHeartbeats, late_after_seconds
from weelo_workers.messaging.worker_heartbeats import Consumption, consumption, record_consumption, report
from weelo_workers.redis_client import redis


def test_every_queue_without_a_worker_is_named(world: World) -> None:
    assert findings("worker-not-consuming") == [f"queue {queue}: no worker consumes it" for queue in QUEUES]
    report("one@host", QUEUES)
    assert findings("worker-not-consuming") == []
    redis().delete("weelo:consumer:offers:one@host")
    assert findings("worker-not-consuming") == ["queue offers: no worker consumes it"]


def test_a_worker_whose_children_accept_no_message_is_named(world: World) -> None:
    report("one@host", QUEUES, {"trips": 2.0})
    assert findings("worker-not-consuming") == []
    report("one@host", QUEUES, {"trips": 12.3})
    assert findings("worker-not-consuming") == [
        "queue trips: a message has waited for a child process of its worker for 12 s"
    ]


def test_a_queue_without_consumption_is_named_only_while_beat_sends_messages_to_it() -> None:
    idle: dict[Queue, Consumption] = {"fleet": Consumption(1, 0.0, CONSUMED_LIMIT_SECONDS + 1)}
    assert list(idle_queues(idle, is_probed=True)) == ["queue fleet: no message was consumed for 21 s"]
    assert list(idle_queues(idle, is_probed=False)) == []
    never: dict[Queue, Consumption] = {"fleet": Consumption(1, 0.0, inf)}
    assert list(idle_queues(never, is_probed=True)) == []


def test_the_age_of_a_consumption_is_that_of_its_record(world: World) -> None:
    assert consumption()["fleet"].consumed_seconds == inf
    report("one@host", QUEUES, accepted=["fleet"])
    assert consumption()["fleet"].consumed_seconds == inf, (
        "only a consumption that the database answered counts first"
    )
    record_consumption("fleet")
    assert consumption()["fleet"].consumed_seconds < 2
    redis().expire("weelo:consumed:fleet", 86_400 - 50)
    assert 50 <= consumption()["fleet"].consumed_seconds < 52
    report("one@host", QUEUES, accepted=["fleet"])
    assert consumption()["fleet"].consumed_seconds < 2


def test_beat_is_named_if_it_never_swept_or_has_not_swept_for_some_seconds(world: World) -> None:
    assert findings("beat-not-sweeping") == ["beat: it has never swept"]
    first, second = BeatHeartbeats(world.engine), BeatHeartbeats(world.engine)
    second._beat = "another"
    for beat in (first, second):
        beat.record_sweep()
        assert beat.swept_at is not None
    assert findings("beat-not-sweeping") == []

    def shift(beat: str, seconds: float) -> None:
        with world.engine.begin() as connection:
            moved = f"UPDATE beat_heartbeats SET swept_at = swept_at - interval '{seconds} s' WHERE beat LIKE :beat"
            connection.execute(text(moved), {"beat": beat})

    shift("%:%", late_after_seconds() + 1)
    assert findings("beat-not-sweeping") == [], "another beat sweeps"
    shift("another", late_after_seconds() + 1)
    assert findings("beat-not-sweeping") == [f"beat: it has not swept for {late_after_seconds() + 1:.0f} s"]


def test_the_heartbeat_of_beat_costs_one_transaction_in_two_seconds(world: World) -> None:
    beat = BeatHeartbeats(world.engine)
    beat.record_sweep()
    first = world.value("SELECT swept_at FROM beat_heartbeats")
    beat.record_sweep()
    assert world.value("SELECT swept_at FROM beat_heartbeats") == first
    beat._next = 0.0
    beat.record_sweep()
    assert world.value("SELECT swept_at FROM beat_heartbeats") > first


def test_transporters_whose_presence_differs_from_their_rows_are_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "AGAIN_AFTER_SECONDS", 0.0)
    right, wrong = world.fleet(), world.fleet()
    assert findings("presence-differs") == []
    redis().hset("weelo:presence:kinds", str(wrong.id), '["open/32 Feet"]')
    assert presence.differing(Examination(world.engine, 5)) == [wrong.id]
    [line] = findings("presence-differs")
    assert line.startswith("presence: 1 of ")
    # Presence contains a transporter who has no row in the database.
    redis().hset("weelo:presence:kinds", str(uuid4()), "[]")
    assert len(presence.differing(Examination(world.engine, 5))) == 2
    assert right.id not in presence.differing(Examination(world.engine, 5))


def test_a_clock_that_differs_from_the_databases_is_a_warning(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert findings("clock-skew") == []
    now = time.time
    monkeypatch.setattr("weelo_workers.clock.time.time", lambda: now() - 1.5)
    assert findings("clock-skew") == ["clock: this machine's is 1.5 s behind PostgreSQL's"]
    monkeypatch.setattr("weelo_workers.clock.time.time", lambda: now() + 7)
    assert findings("clock-skew") == ["clock: this machine's is 7.0 s ahead of PostgreSQL's"]
    assert CHECKS["clock-skew"].severity is Severity.WARNING


def test_a_check_that_fails_itself_is_a_finding_and_the_others_go_on(world: World) -> None:
    def slow(examination: Examination) -> Iterator[str]:
        with examination.database() as connection:
            connection.execute(text("SELECT pg_sleep(5)"))
        yield "never"

    def lost(_examination: Examination) -> Iterator[str]:
        raise OperationalError("SELECT 1", {}, Exception("connection reset"))
        yield "never"

    checks = [
        Check("slow", Severity.FAILING, "", (), 60, slow),
        Check("lost", Severity.FAILING, "", (), 60, lost),
        Check("after-lost", Severity.FAILING, "", ("lost",), 60, slow),
        CHECKS["schema"],
    ]
    results = examine(Examination(world.engine, 0.1), checks)
    assert [(result.check.name, result.ok, result.was_run) for result in results] == [
        ("lost", False, False),
        ("slow", False, False),
        ("schema", True, True),
    ]
    assert results[1].detail == "slow: could not be checked: canceling statement due to statement timeout"


def test_what_needs_the_database_is_left_out_while_it_does_not_answer(unreachable: Engine) -> None:
    results = {result.check.name: result for result in examine(Examination(unreachable, 1.0))}
    assert not results["database"].ok
    assert "commands-parked" not in results and "beat-not-sweeping" not in results
    assert results["redis"].ok


@pytest.fixture
def unreachable(world: World) -> Iterator[Engine]:
    from weelo_workers.models.engine import connect

    made = connect("postgresql://nobody@127.0.0.1:1/none")
    yield made
    made.dispose()
