"""One conversation by itself, with a client that takes its time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from weelo_api.attendance import Attendance
from weelo_api.auth import Identity
from weelo_api.channel import GOING_AWAY, UNAUTHORIZED, Channel, Farewell
from weelo_api.connection import Connection, Frames
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.statuses import Role


class SlowChannel:
    """Each frame takes as long as the next position takes to come."""

    had_to_wait = True

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.leaving: Farewell | None = None

    async def send(self, frame: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        self.sent.append(frame)
        self.connection.mention({"event": "location_updated"})
        assert len(self.sent) < 1_000, "nothing else has its turn"
        if len(self.sent) == 20:
            self.leaving = Farewell(GOING_AWAY, "the server is restarting")

    def stay(self) -> None:
        if self.leaving:
            raise self.leaving

    def wake(self) -> None: ...

    connection: Connection


def connection(channel: SlowChannel, expires_at: datetime) -> Connection:
    identity = Identity(Caller(uuid4(), Role.CUSTOMER), expires_at)
    channel.connection = Connection(cast(Channel, channel), identity, Frames(), Attendance(list))
    return channel.connection


def test_positions_without_end_keep_nobody_from_leaving(migrated: None) -> None:
    channel = SlowChannel()
    slow = connection(channel, datetime.now(UTC) + timedelta(hours=1))
    slow.mention({"event": "location_updated"})

    async def speak() -> None:
        while True:
            await slow._speak()

    with pytest.raises(Farewell) as farewell:
        asyncio.run(speak())
    assert farewell.value.code == GOING_AWAY


def test_nor_a_token_from_expiring(migrated: None) -> None:
    slow = connection(SlowChannel(), datetime.now(UTC) - timedelta(seconds=1))
    slow.mention({"event": "location_updated"})
    with pytest.raises(Farewell) as farewell:
        asyncio.run(slow._speak())
    assert farewell.value.code == UNAUTHORIZED
