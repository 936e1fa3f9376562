"""One socket session without a hub, with a slow client."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from weelo_api.auth import Identity
from weelo_api.websocket.close_codes import CloseCode
from weelo_api.websocket.session import FrameCounters, SocketSession
from weelo_api.websocket.session_registry import SessionRegistry
from weelo_api.websocket.transport import Disconnect, WebSocketTransport
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.statuses import Role


class SlowTransport:
    """A slow transport: a new position arrives while it sends a frame."""

    was_blocked = True

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.leaving: Disconnect | None = None

    async def send(self, frame: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        self.sent.append(frame)
        self.connection.send_ephemeral({"event": "location_updated"})
        assert len(self.sent) < 1_000, "positions keep everything else from being sent"
        if len(self.sent) == 20:
            self.leaving = Disconnect(CloseCode.GOING_AWAY, "the server is restarting")

    def raise_if_closing(self) -> None:
        if self.leaving:
            raise self.leaving

    def wake(self) -> None: ...

    connection: SocketSession


def connection(transport: SlowTransport, expires_at: datetime) -> SocketSession:
    identity = Identity(Caller(uuid4(), Role.CUSTOMER), expires_at)
    transport.connection = SocketSession(
        cast(WebSocketTransport, transport), identity, FrameCounters(), SessionRegistry(list)
    )
    return transport.connection


def test_positions_without_end_keep_nobody_from_leaving(migrated: None) -> None:
    transport = SlowTransport()
    slow = connection(transport, datetime.now(UTC) + timedelta(hours=1))
    slow.send_ephemeral({"event": "location_updated"})

    async def speak() -> None:
        while True:
            await slow._write()

    with pytest.raises(Disconnect) as farewell:
        asyncio.run(speak())
    assert farewell.value.code == CloseCode.GOING_AWAY


def test_positions_without_end_keep_no_token_from_expiring(migrated: None) -> None:
    slow = connection(SlowTransport(), datetime.now(UTC) - timedelta(seconds=1))
    slow.send_ephemeral({"event": "location_updated"})
    with pytest.raises(Disconnect) as farewell:
        asyncio.run(slow._write())
    assert farewell.value.code == CloseCode.UNAUTHORIZED
