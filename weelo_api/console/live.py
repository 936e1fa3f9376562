"""`GET /console/live`: the socket over which open pages of the console receive changes.

The changes come from the live stream, which the API process reads anyway, so a command causes no further message or
query. A frame names the broadcasts of committed events; the page then loads what it shows of these broadcasts. Frames
may be lost, as entries of the stream may, so pages also load everything from time to time.

Frames, as JSON: `{"event": "connected"}`, then `{"event": "changed", "broadcasts": [id, …]}`, `{"event": "trucks",
"positions": [[trip id, latitude, longitude], …]}`, and `{"event": "reload"}` if too much has changed for a list.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from flask import Flask, Response, g, request

from weelo_api.console import sessions
from weelo_api.http.errors import problem
from weelo_api.per_process import PerProcess
from weelo_api.stream_reader import stream_reader
from weelo_api.websocket import handshake, upgrade
from weelo_api.websocket.close_codes import CloseCode
from weelo_api.websocket.transport import Disconnect, WebSocketTransport
from weelo_workers.contracts.rejections import Code
from weelo_workers.models.engine import DATABASE_ERRORS
from weelo_workers.notifications import live_stream

PATH = "/console/live"

# All changes within this time are sent in one frame.
COLLECT_SECONDS = 0.1
# A sign-out ends the sockets of its session within this time.
LOOK_FOR_SIGN_OUT_SECONDS = 5.0
# A frame names at most this many broadcasts.
MAX_NAMED = 200
# Positions of at most this many trucks are kept.
MAX_POSITIONS = 20_000
POSITION_SECONDS = 900.0

Position = tuple[float, float]


class Viewer:
    """An open page, with the changes that have not been sent to it yet."""

    def __init__(self, transport: WebSocketTransport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._lock = threading.Lock()
        self._broadcasts = set[str]()
        self._positions = dict[str, Position]()

    def note(self, broadcasts: set[str], positions: Mapping[str, Position]) -> None:
        """Add changes. Called in the thread of the stream's reader."""
        with self._lock:
            self._broadcasts |= broadcasts
            self._positions |= positions
        self._loop.call_soon_threadsafe(self._transport.wake)

    def frames(self) -> Iterator[dict[str, Any]]:
        """Return the frames for all changes since the last call."""
        with self._lock:
            broadcasts, self._broadcasts = self._broadcasts, set()
            positions, self._positions = self._positions, {}
        if len(broadcasts) > MAX_NAMED:
            yield {"event": "reload"}
        elif broadcasts:
            yield {"event": "changed", "broadcasts": sorted(broadcasts)}
        if positions:
            newest = list(positions.items())[-MAX_NAMED:]
            yield {"event": "trucks", "positions": [[trip, *place] for trip, place in newest]}


class LiveFeed:
    """Passes changes to all viewers of this process, and keeps the last positions of trucks, which are in no table."""

    def __init__(self) -> None:
        # This tuple is replaced and never changed in place, because the reader's thread iterates over it.
        self._viewers: tuple[Viewer, ...] = ()
        self._lock = threading.Lock()
        self._positions: OrderedDict[str, tuple[float, Position]] = OrderedDict()

    def add(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers = (*self._viewers, viewer)

    def remove(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers = tuple(each for each in self._viewers if each is not viewer)

    def position(self, trip_id: UUID) -> Position | None:
        """Return the last position of the truck; None if this process received none within POSITION_SECONDS."""
        with self._lock:
            at, place = self._positions.get(str(trip_id), (0.0, None))
        return place if place and time.monotonic() - at < POSITION_SECONDS else None

    def on_events(self, items: Sequence[dict[str, Any]]) -> None:
        """Pass on events of the log. Called in the thread of the stream's reader."""
        if viewers := self._viewers:
            named = {each for item in items for each in _broadcasts_in(item)}
            for viewer in viewers if named else ():
                viewer.note(named, {})

    def on_positions(self, items: Sequence[dict[str, Any]]) -> None:
        """Keep and pass on positions of trucks. Called in the thread of the stream's reader."""
        places = {
            item["data"]["tripId"]: (item["data"]["latitude"], item["data"]["longitude"])
            for item in items
            if item["event"] == "location_updated"
        }
        if not places:
            return
        now = time.monotonic()
        with self._lock:
            for trip, place in places.items():
                self._positions[trip] = (now, place)
                self._positions.move_to_end(trip)
            while len(self._positions) > MAX_POSITIONS:
                self._positions.popitem(last=False)
        for viewer in self._viewers:
            viewer.note(set(), places)


def _broadcasts_in(item: dict[str, Any]) -> Iterator[str]:
    """Yield the ids of broadcasts that an event is about."""
    data = item["data"]
    if isinstance(about := data.get("broadcastId"), str):
        yield about
    # An outcome names the broadcast that its command has created or changed.
    result = data.get("result") if item["event"] == "command_settled" else None
    if isinstance(result, dict):
        about = result.get("broadcastId") or (result.get("id") if "truckRequests" in result else None)
        if isinstance(about, str):
            yield about


def _start() -> LiveFeed:
    feed = LiveFeed()
    stream_reader().subscribe(live_stream.STREAM_KEY, feed.on_events)
    stream_reader().subscribe(live_stream.EPHEMERAL, feed.on_positions)
    return feed


live_feed = PerProcess(_start)
"""Return this process's feed. The first call subscribes it to the live stream."""


def _is_signed_out(session: sessions.Session) -> bool:
    """Return whether the session is known to be signed out; False if the database does not answer."""
    with suppress(*DATABASE_ERRORS):
        return sessions.is_signed_out(session.id)
    return False


async def _converse(transport: WebSocketTransport, session: sessions.Session) -> None:
    """Send frames until the session or the connection ends. Ends by raising Disconnect or PeerGone."""
    loop = asyncio.get_running_loop()
    viewer = Viewer(transport, loop)
    look_at = loop.time() + LOOK_FOR_SIGN_OUT_SECONDS
    feed = live_feed()
    feed.add(viewer)
    try:
        await transport.send({"event": "connected"})
        while True:
            await transport.wait(min(look_at - loop.time(), session.seconds_left))
            while transport.next_message() is not None:
                pass  # messages are ignored, because pages have nothing to send
            is_over = session.seconds_left <= 0
            if not is_over and loop.time() >= look_at:
                is_over = await asyncio.to_thread(_is_signed_out, session)
                look_at = loop.time() + LOOK_FOR_SIGN_OUT_SECONDS
            if is_over:
                raise Disconnect(CloseCode.UNAUTHORIZED, "the session has ended")
            for frame in viewer.frames():
                await transport.send(frame)
            await asyncio.sleep(COLLECT_SECONDS)
    finally:
        feed.remove(viewer)


def register(app: Flask) -> None:
    @app.before_request
    def _admit_to_live() -> Response | None:
        if request.path != PATH:
            return None
        if (refused := upgrade.refusal(unauthenticated=False)) is not None:
            return refused
        if sessions.is_from_elsewhere(request):
            return problem(Code.FORBIDDEN, "Pages of other origins may not open this socket.")
        if (session := sessions.find(request)) is None:
            return problem(Code.UNAUTHORIZED, "Sign in at /console/sign-in.")
        g.console_session = session
        handshake.keep_only_what_is_needed(request)
        return None

    @upgrade.sockets(app).route(PATH)  # type: ignore[untyped-decorator]
    def console_live(server: upgrade.Server) -> None:
        """Open the socket of a page of the console."""
        session: sessions.Session = g.console_session
        upgrade.hand_over(server, lambda transport: _converse(transport, session))
