"""The objective `accept_to_frame` only measures outcomes of accepts that were sent while the socket was open."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from weelo_api import auth
from weelo_api.websocket.session import FrameCounters, SocketSession
from weelo_workers import clock
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.wire import rfc3339


def settled(command: str, received_at: datetime) -> dict[str, Any]:
    return {"event": "command_settled", "data": {"command": command, "receivedAt": rfc3339(received_at)}}


@pytest.mark.parametrize(
    ("command", "seconds_after_opening", "timed"),
    [
        ("offers.accept", 0.1, True),
        ("offers.confirm_hold", 0.1, True),
        ("offers.decline", 0.1, False),
        # The API received the accept before the socket was opened. The outcome had to wait for the client to connect,
        # so its delay says nothing about the server and is not measured.
        ("offers.accept", -5.0, False),
    ],
)
def test_outcomes_of_accepts_are_timed_if_the_socket_was_open(
    command: str, seconds_after_opening: float, timed: bool
) -> None:
    frames = FrameCounters()
    identity = auth.Identity(Caller(uuid4(), Role.TRANSPORTER), clock.now() + timedelta(hours=1))
    session = SocketSession(cast(Any, None), identity, frames, cast(Any, None))
    session._time_accept(settled(command, clock.now() + timedelta(seconds=seconds_after_opening)))
    assert bool(frames.accept_seconds) is timed


def test_other_frames_are_not_timed() -> None:
    frames = FrameCounters()
    identity = auth.Identity(Caller(uuid4(), Role.DRIVER), clock.now() + timedelta(hours=1))
    session = SocketSession(cast(Any, None), identity, frames, cast(Any, None))
    session._time_accept({"event": "trip_assigned", "data": {}})
    session._time_accept({"event": "resync_required", "data": {"oldestSeq": 3}})
    assert not frames.accept_seconds
