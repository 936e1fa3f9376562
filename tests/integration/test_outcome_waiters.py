"""A request that waits for a command's outcome gets it as soon as the live stream announces it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from weelo_api.commands.outcome_waiters import OutcomeWaiters
from weelo_api.stream_reader import StreamReader
from weelo_workers.notifications import live_stream

SETTLED = {
    "command": "offers.accept",
    "status": "rejected",
    "httpStatus": 409,
    "error": {"code": "BROADCAST_FILLED"},
    "receivedAt": "2026-01-01T00:00:00.000Z",
    "settledAt": "2026-01-01T00:00:01.000Z",
    "replayed": False,
}


@pytest.fixture
def waiters(migrated: None) -> Iterator[OutcomeWaiters]:
    """Yield an `OutcomeWaiters` that receives events from a stream reader of its own."""
    waiters, reader, stopped = OutcomeWaiters(), StreamReader(), threading.Event()
    reader.subscribe(live_stream.STREAM_KEY, waiters.on_events)
    thread = threading.Thread(target=reader.read, args=(stopped,))
    thread.start()
    yield waiters
    stopped.set()
    thread.join()


def settle(command_id: object, **more: object) -> None:
    data = {"commandId": str(command_id), **(more or SETTLED)}
    live_stream.publish(
        [
            live_stream.StreamEvent(
                uuid4(), "command_settled", datetime.now(UTC), data, {str(uuid4()): (1, None)}
            )
        ]
    )


def test_news_of_the_outcome_ends_the_waiting(waiters: OutcomeWaiters) -> None:
    command_id = uuid4()
    with waiters.expecting(command_id) as settled:
        assert not settled.wait(0.5), "nothing has happened yet"
        settle(command_id)
        assert settled.wait(5)
    assert settled.outcome is not None, "the request needs no query"
    assert settled.outcome.json_dict() == {"commandId": str(command_id), **SETTLED}


def test_an_outcome_with_other_fields_ends_the_waiting_too(waiters: OutcomeWaiters) -> None:
    """If the announced outcome has unknown fields, the request reads the outcome from the row."""
    command_id = uuid4()
    with waiters.expecting(command_id) as settled:
        assert not settled.wait(0.5), "nothing has happened yet"
        settle(command_id, outcome="rejected")
        assert settled.wait(5)
    assert settled.outcome is None


def test_outcomes_of_other_commands_do_not_end_the_waiting(waiters: OutcomeWaiters) -> None:
    with waiters.expecting(uuid4()) as settled:
        settle(uuid4())
        assert not settled.wait(0.5)


def test_several_may_wait_for_the_same_command(waiters: OutcomeWaiters) -> None:
    command_id = uuid4()
    with waiters.expecting(command_id) as first, waiters.expecting(command_id) as second:
        threading.Timer(0.3, settle, [command_id]).start()
        assert first.wait(2)
        assert second.wait(2)
    assert not waiters._expected
