"""The socket of the console is for signed-in admins on pages of this server. It sends ids and positions, no other data."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
import websocket

from tests.support.api_process import Api
from tests.support.tokens import token
from tests.support.world import World
from weelo_api.console.live import MAX_NAMED, LiveFeed, Viewer
from weelo_workers.contracts.statuses import Role

# Frames of the console are for its own pages, so asyncapi.json does not describe them.
pytestmark = pytest.mark.undocumented


def cookie_of(api: Api, ttl: float = 3600) -> str:
    """Sign in, and return the header with the session's cookie."""
    with httpx.Client(base_url=f"http://127.0.0.1:{api.port}") as visitor:
        form = {"token": token(Role.ADMIN, uuid4(), ttl=ttl)}
        response = visitor.post("/console/sign-in", data=form)
        assert response.status_code == 303, response.text
        return f"weelo_console={response.cookies['weelo_console']}"


def opened(api: Api, cookie: str | None, origin: str | None = None) -> websocket.WebSocket:
    headers = [f"Cookie: {cookie}"] if cookie else []
    return websocket.create_connection(
        f"ws://127.0.0.1:{api.port}/console/live",
        header=headers,
        timeout=10,
        **({"origin": origin} if origin else {"suppress_origin": True}),
    )


@pytest.fixture
def socket(api: Api, world: World) -> Iterator[websocket.WebSocket]:
    socket = opened(api, cookie_of(api), f"http://127.0.0.1:{api.port}")
    assert json.loads(socket.recv()) == {"event": "connected"}
    yield socket
    socket.close()


def test_a_new_broadcast_is_named_at_once(socket: websocket.WebSocket, world: World) -> None:
    began = time.monotonic()
    broadcast_id = world.broadcast()
    named = set[str]()
    while str(broadcast_id) not in named:
        frame = json.loads(socket.recv())
        assert set(frame) == {"event", "broadcasts"}, "ids only: no names, no addresses"
        named |= set(frame["broadcasts"])
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "cookie", [None, "weelo_console=x", "weelo_console=a.b.c"], ids=["none", "nonsense", "three parts"]
)
def test_without_a_session_the_upgrade_is_refused(api: Api, world: World, cookie: str | None) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        opened(api, cookie)
    assert refused.value.status_code == 401


def test_pages_of_other_origins_are_refused(api: Api, world: World) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        opened(api, cookie_of(api), "https://elsewhere.example")
    assert refused.value.status_code == 403


def test_a_socket_ends_with_its_session(api: Api, world: World) -> None:
    # A token is accepted for 30 s after its expiry. This one expired 26 s ago, so the session lasts about 4 s.
    socket = opened(api, cookie_of(api, ttl=-26))
    assert json.loads(socket.recv()) == {"event": "connected"}
    opcode, frame = socket.recv_data(control_frame=True)
    while opcode == websocket.ABNF.OPCODE_PING:
        opcode, frame = socket.recv_data(control_frame=True)
    assert (opcode, int.from_bytes(frame[:2])) == (websocket.ABNF.OPCODE_CLOSE, 4401)


def test_a_socket_ends_after_a_sign_out(api: Api, world: World) -> None:
    cookie = cookie_of(api)
    socket = opened(api, cookie)
    assert json.loads(socket.recv()) == {"event": "connected"}
    with httpx.Client(base_url=f"http://127.0.0.1:{api.port}", headers={"Cookie": cookie}) as visitor:
        page = visitor.get("/console/audit").text
        [form_token] = set(re.findall(r'name="form_token" value="(\w+)"', page))
        assert visitor.post("/console/sign-out", data={"form_token": form_token}).status_code == 303
    opcode, frame = socket.recv_data(control_frame=True)
    assert (opcode, int.from_bytes(frame[:2])) == (websocket.ABNF.OPCODE_CLOSE, 4401)


def test_the_console_needs_no_further_message_or_statement(
    api: Api, socket: websocket.WebSocket, world: World
) -> None:
    """A broadcast causes as many events with an open console as without one."""
    before = world.value("SELECT count(*) FROM events")
    world.broadcast()
    with_console = world.value("SELECT count(*) FROM events") - before
    socket.close()
    before = world.value("SELECT count(*) FROM events")
    world.broadcast()
    assert world.value("SELECT count(*) FROM events") - before == with_console


# --- the feed -------------------------------------------------------------------------------------------


class Loop:
    """Stands in for the hub's event loop: executes each call at once."""

    def call_soon_threadsafe(self, call: object) -> None:
        assert callable(call)
        call()


class Transport:
    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def watched() -> tuple[LiveFeed, Viewer, Transport]:
    feed, transport = LiveFeed(), Transport()
    viewer = Viewer(transport, Loop())  # type: ignore[arg-type]
    feed.add(viewer)
    return feed, viewer, transport


def test_changes_are_collected_into_one_frame() -> None:
    feed, viewer, transport = watched()
    first, second = str(uuid4()), str(uuid4())
    for _ in range(3):
        feed.on_events([{"event": "new_broadcast", "data": {"broadcastId": first}}])
    created = {"id": second, "truckRequests": []}
    feed.on_events([{"event": "command_settled", "data": {"result": created}}])
    feed.on_events([{"event": "driver_status_changed", "data": {"driverId": str(uuid4())}}])
    assert list(viewer.frames()) == [{"event": "changed", "broadcasts": sorted([first, second])}]
    assert transport.woken == 4
    assert list(viewer.frames()) == []


def test_too_many_changes_for_a_list_make_the_page_load_everything() -> None:
    feed, viewer, _ = watched()
    feed.on_events(
        [{"event": "new_broadcast", "data": {"broadcastId": str(uuid4())}} for _ in range(MAX_NAMED + 1)]
    )
    assert list(viewer.frames()) == [{"event": "reload"}]


def test_the_last_position_of_a_truck_is_kept() -> None:
    feed, viewer, _ = watched()
    trip = uuid4()
    for latitude in (20.0, 21.0):
        data = {"tripId": str(trip), "latitude": latitude, "longitude": 77.0}
        feed.on_positions([{"event": "location_updated", "data": data}])
    assert feed.position(trip) == (21.0, 77.0)
    assert feed.position(uuid4()) is None
    assert list(viewer.frames()) == [{"event": "trucks", "positions": [[str(trip), 21.0, 77.0]]}]
    feed.remove(viewer)
    feed.on_events([{"event": "new_broadcast", "data": {"broadcastId": str(uuid4())}}])
    assert list(viewer.frames()) == []
