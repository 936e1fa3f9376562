"""Each attempt at a command is one log line with the caller's role, the subject, the duration and the result."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.support.wakers import NullWaker
from tests.support.world import World
from weelo_workers.contracts.notifications import SendPushes
from weelo_workers.contracts.statuses import Role
from weelo_workers.logs import configuring, context
from weelo_workers.messaging import batches, command_log, handlers
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.sweep import sweep
from weelo_workers.request_ids import request_id

MAX_MICROSECONDS = 50


class Lines:
    """The log lines of commands, each as its fields with `level` and `message`."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def all(self) -> list[dict[str, Any]]:
        return [
            {"level": record.levelname, "message": record.getMessage(), **context.fields_of(record)}
            for record in self._caplog.records
            if record.name == command_log.__name__
        ]

    def of(self, command: str) -> list[dict[str, Any]]:
        return [line for line in self.all if line["command"] == command]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    # `label_records` replaces logging's record factory. This `setattr` changes nothing, but lets monkeypatch restore
    # the present factory after the test.
    monkeypatch.setattr(logging, "_logRecordFactory", logging.getLogRecordFactory())
    context.label_records()
    with caplog.at_level(logging.INFO, "weelo_workers"):
        yield Lines(caplog)


def test_a_settled_command_is_one_line(world: World, lines: Lines) -> None:
    before = request_id.set("the-booking")
    posted = world.post(world.booking(customer := uuid4()), customer, Role.CUSTOMER)
    request_id.reset(before)
    assert world.bus.execute(posted)
    [line] = lines.of("broadcasts.create_booking")
    assert (line["level"], line["message"]) == ("INFO", "broadcasts.create_booking is settled")
    assert (line["command_id"], line["role"], line["request_id"]) == (posted, "customer", "the-booking")
    assert line["broadcast_id"] == world.value("SELECT id FROM broadcasts")
    assert (line["queue"], line["outcome"]) == ("broadcasts", "settled")
    assert 0 <= line["queue_wait"] < 60 and 0 < line["duration"] < 60
    assert "attempt" not in line and "fired_by" not in line
    assert world.bus.execute(posted)
    assert len(lines.of("broadcasts.create_booking")) == 1, "a repeated message is no second attempt"


def test_a_push_is_logged_with_its_broadcast(world: World, lines: Lines) -> None:
    broadcast = uuid4()
    push = SendPushes(
        event_id=uuid4(),
        event="broadcast_cancelled",
        data={"broadcastId": str(broadcast)},
        ends_at=datetime(2020, 1, 1, tzinfo=UTC),
        to={},
    )
    with world.engine.begin() as connection:
        command: UUID = connection.execute(
            text(
                "INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at) VALUES (gen_random_uuid(), :name, :queue,"
                " CAST(:payload AS jsonb), clock_timestamp(), clock_timestamp()) RETURNING id"
            ),
            {"name": push.name, "queue": push.queue, "payload": push.model_dump_json()},
        ).scalar_one()
    assert world.bus.execute(command)
    [line] = lines.of("notifications.push")
    assert line["broadcast_id"] == str(broadcast)


def test_a_rejected_command_is_logged_with_its_code(world: World, lines: Lines) -> None:
    broadcast = uuid4()
    outcome = world.cancel(broadcast, uuid4())
    assert outcome.error is not None
    [line] = lines.of("broadcasts.cancel")
    assert (line["outcome"], line["code"]) == ("rejected", outcome.error["code"])
    assert line["broadcast_id"] == str(broadcast)


def test_a_timer_is_logged_with_what_fired_it_and_how_late(world: World, lines: Lines) -> None:
    for fired_by in ("countdown", "sweep"):
        world.broadcast(1)
        expire: UUID = world.value(
            "SELECT id FROM mailbox WHERE name = 'broadcasts.expire' AND settled_at IS NULL"
        )
        world.shift(1_000)
        if fired_by == "countdown":
            world.bus.execute(expire)
        else:
            sweep(Bus(world.engine, NullWaker()), seconds=10)
        line = lines.of("broadcasts.expire")[-1]
        assert (line["command_id"], line["fired_by"], line["outcome"]) == (expire, fired_by, "settled")
        assert 800 < line["lateness"] < 1_100 and "queue_wait" not in line


def test_a_command_that_fails_is_logged_until_it_is_parked(
    world: World, lines: Lines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_command: object, _uow: object) -> None:
        raise LookupError("on purpose")

    command = world.booking(customer := uuid4())
    monkeypatch.setitem(handlers._handlers, command.name, fail)
    posted = world.post(command, customer, Role.CUSTOMER)
    for _ in range(5):
        assert not world.bus.execute(posted)
        world.shift(30)
    found = lines.of(command.name)
    assert [line["attempt"] for line in found] == [1, 2, 3, 4, 5]
    assert [line["outcome"] for line in found] == ["failed"] * 4 + ["parked"]
    assert {line["level"] for line in found} == {"ERROR"}
    assert all("LookupError: on purpose" in line["message"] for line in found)
    with_traceback = [record for record in caplog.records if record.exc_info]
    assert len(with_traceback) == 5


def test_a_batch_is_one_line_with_the_ids_of_its_commands(world: World, lines: Lines) -> None:
    world.fleet()
    waiting = {
        row.id
        for row in world.rows(
            "SELECT id FROM mailbox WHERE name = 'fleet.sync_presence' AND settled_at IS NULL"
        )
    }
    if not waiting:
        world.broadcast(1)
    settled = batches.execute_batches(world.engine)
    found = lines.of("fleet.sync_presence")
    assert sum(len(line["command_ids"]) for line in found if "command_ids" in line) == settled
    assert waiting <= {each for line in found for each in line.get("command_ids", [line["command_id"]])}


def test_the_line_of_a_command_costs_less_than_fifty_microseconds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test measures the processor time of all that a line needs: collecting its fields, formatting it, writing it."""
    posted = world.post(world.booking(customer := uuid4()), customer, Role.CUSTOMER)
    world.bus.execute(posted)
    row = world.rows(
        "SELECT *, received_at + interval '1 ms' AS claimed_at FROM mailbox WHERE id = :id", id=posted
    )[0]
    outcome = {"status": row.status, "error": None, "replayed": False}
    root = logging.getLogger()
    handlers_before, level = root.handlers[:], root.level
    # `configure` replaces logging's record factory. This `setattr` changes nothing, but lets monkeypatch restore
    # the present factory after the test.
    monkeypatch.setattr(logging, "_logRecordFactory", logging.getLogRecordFactory())
    written: list[str] = []
    try:
        root.handlers.clear()
        configuring.configure("worker", queue="offers", write=written.append)
        best = min(_seconds_per_line(row, outcome) for _ in range(5))
    finally:
        root.handlers[:] = handlers_before
        root.setLevel(level)
        for name in (*configuring.OWN, *configuring.OF_PROCESSES, *configuring.OF_MESSAGES):
            logging.getLogger(name).setLevel(logging.NOTSET)
    assert "is settled" in written[0]
    assert best * 1e6 < MAX_MICROSECONDS


def _seconds_per_line(row: Any, outcome: dict[str, Any], lines: int = 1_000) -> float:
    began = time.process_time()
    for _ in range(lines):
        unbound = context.bind(command_id=row.id)
        command_log.bind_command(row)
        command_log.settled(command_log.Settled(row, outcome, row.id, swept=False), 0.0123)
        context.restore(unbound)
    return (time.process_time() - began) / lines
