"""A peer that disappears without closing its connection is detected by its missing pongs."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Ping, Request, TextMessage

from weelo_api.websocket import transport
from weelo_api.websocket.close_codes import CloseCode
from weelo_api.websocket.transport import PeerGone, WebSocketTransport

PING_SECONDS = 0.15
NO_ANSWER = CloseConnection(CloseCode.POLICY_VIOLATION, "no answer to a ping")


@pytest.fixture
def _pings_come_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PING_SECONDS", PING_SECONDS)


class Peer:
    """The client's end of a transport's socket, after the handshake."""

    def __init__(self) -> None:
        self.ws = WSConnection(ConnectionType.CLIENT)
        server = WSConnection(ConnectionType.SERVER)
        server.receive_data(self.ws.send(Request(host="weelo", target="/")))
        assert [type(event) for event in server.events()] == [Request]
        self.ws.receive_data(server.send(AcceptConnection()))
        assert [type(event) for event in self.ws.events()] == [AcceptConnection]
        self._server = server

    async def connect(self) -> WebSocketTransport:
        ours, theirs = socket.socketpair()
        self.line, self._writer = await asyncio.open_connection(sock=theirs)
        made = WebSocketTransport(self._server, memoryview(bytearray(1_024)))
        await asyncio.get_running_loop().connect_accepted_socket(lambda: made, ours)
        return made

    def send(self, event: Event) -> None:
        self._writer.write(self.ws.send(event))

    async def receive(self, *, answer: bool, at_most: int = 1_000) -> list[Event]:
        """Return the events received until the connection ends. Stop earlier when `at_most` events are received."""
        received_events: list[Event] = []
        while len(received_events) < at_most and (data := await asyncio.wait_for(self.line.read(1_024), 5)):
            self.ws.receive_data(data)
            for event in self.ws.events():
                received_events.append(event)
                if answer and isinstance(event, Ping):
                    self._writer.write(self.ws.send(event.response()))
        if self.line.at_eof():
            self._writer.close()
        return received_events


@pytest.mark.usefixtures("_pings_come_often")
def test_a_peer_that_answers_no_ping_is_let_go_when_the_second_is_due() -> None:
    async def play() -> None:
        peer = Peer()
        began = time.monotonic()
        ours = await peer.connect()
        ping, farewell = await peer.receive(answer=False)
        assert time.monotonic() - began >= 2 * PING_SECONDS
        assert isinstance(ping, Ping)
        assert farewell == NO_ANSWER
        with pytest.raises(PeerGone):
            ours.next_message()

    asyncio.run(play())


@pytest.mark.usefixtures("_pings_come_often")
def test_a_peer_that_answers_pings_stays_connected() -> None:
    async def play() -> None:
        peer = Peer()
        ours = await peer.connect()
        received_events = await peer.receive(answer=True, at_most=6)
        assert [type(event) for event in received_events] == [Ping] * 6
        assert ours.next_message() is None
        # From here on the peer answers no pings, so it is disconnected.
        *_, farewell = await peer.receive(answer=False)
        assert farewell == NO_ANSWER

    asyncio.run(play())


def test_empty_fragments_of_an_endless_message_take_no_memory() -> None:
    async def play() -> None:
        peer = Peer()
        ours = await peer.connect()
        for _ in range(25):
            peer.send(TextMessage(data="", message_finished=False))
        peer.send(TextMessage(data="[]", message_finished=False))
        while not ours._message:
            await asyncio.wait_for(ours.wait(5), 5)
        assert ours._message == ["[]"]
        peer.send(TextMessage(data="", message_finished=True))
        while (message := ours.next_message()) is None:
            await asyncio.wait_for(ours.wait(5), 5)
        assert message == "[]"
        ours.abort()
        await peer.receive(answer=False)

    asyncio.run(play())


def test_nobody_is_kept_for_40_s_after_the_last_sign_of_life() -> None:
    assert 2 * transport.PING_SECONDS < 40
