"""The hub by itself: waiting for the outcome of a command."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from weelo_api.websocket.hub import Hub
from weelo_workers.notifications import live_stream


@pytest.fixture
def hub(migrated: None) -> Iterator[Hub]:
    hub = Hub()
    hub.start()
    yield hub
    hub.close_all()


def settle(command_id: object) -> None:
    data = {"commandId": str(command_id)}
    live_stream.publish(
        [
            live_stream.StreamEvent(
                uuid4(), "command_settled", datetime.now(UTC), data, {str(uuid4()): (1, None)}
            )
        ]
    )


def test_news_of_the_outcome_ends_the_waiting(hub: Hub) -> None:
    command_id = uuid4()
    with hub.outcomes.expecting(command_id) as settled:
        assert not settled.wait(0.5), "nothing has happened yet"
        settle(command_id)
        assert settled.wait(5)


def test_outcomes_of_other_commands_do_not_end_the_waiting(hub: Hub) -> None:
    with hub.outcomes.expecting(uuid4()) as settled:
        settle(uuid4())
        assert not settled.wait(0.5)


def test_several_may_wait_for_the_same_command(hub: Hub) -> None:
    command_id = uuid4()
    with hub.outcomes.expecting(command_id) as first, hub.outcomes.expecting(command_id) as second:
        threading.Timer(0.3, settle, [command_id]).start()
        assert first.wait(2)
        assert second.wait(2)
    assert not hub.outcomes._expected
