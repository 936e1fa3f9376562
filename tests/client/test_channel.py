"""The channel delivers an ordered log, although sockets break and the server repeats or leaves out lines."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from tests.client.scripted_api import ScriptedApi, Socket
from tests.support.waiting import eventually
from weelo_client import Channel, ChannelEnded, Frame, FrameTimeout, WeeloClient
from weelo_client.connection import is_loopback

WITHIN = 5.0


def client_of(api: ScriptedApi) -> WeeloClient:
    return WeeloClient(api.url, "a token")


def seqs(channel: Channel) -> list[int]:
    return [frame.seq for frame in channel.frames if frame.seq is not None]


def test_frames_come_in_order_and_are_acknowledged_together(api: ScriptedApi) -> None:
    acked = threading.Event()

    def serve(end: Socket) -> None:
        end.connected(seq=41)
        assert end.receive("resume")["after"] == 41
        for seq in (42, 43, 44):
            end.send("broadcast_state_changed", {"broadcastId": "b-1"}, seq)
        assert end.receive("ack")["seq"] == 44
        acked.set()
        end.wait_until_closed()

    api.on_socket = [serve]
    with client_of(api).listen() as channel:
        channel.wait_for(lambda frame: frame.seq == 44, within=WITHIN)
        assert acked.wait(WITHIN)
        assert seqs(channel) == [42, 43, 44]
        assert channel.last_seq == 44


def test_ephemeral_frames_do_not_delay_an_acknowledgement(api: ScriptedApi) -> None:
    acked, over = threading.Event(), threading.Event()

    def serve(end: Socket) -> None:
        end.connected(seq=0)
        end.receive("resume")
        end.send("new_broadcast", {}, 1)
        threading.Thread(target=drive, args=[end]).start()
        assert end.receive("ack")["seq"] == 1
        acked.set()
        end.wait_until_closed()

    def drive(end: Socket) -> None:
        while not over.wait(0.1):
            end.send("location_updated")

    api.on_socket = [serve]
    with client_of(api).listen():
        assert acked.wait(1.5)
        over.set()


def test_only_frames_that_the_app_has_processed_are_acknowledged(api: ScriptedApi) -> None:
    stored: list[int] = []
    acked: list[tuple[int, bool]] = []

    def serve(end: Socket) -> None:
        end.connected(seq=0)
        end.receive("resume")
        for seq in (1, 2):
            end.send("new_broadcast", {}, seq)
        while acked[-1:] != [(2, True)]:
            seq = end.receive("ack")["seq"]
            acked.append((seq, seq in stored))
        end.wait_until_closed()

    def store(frame: Frame) -> None:
        if frame.seq:
            time.sleep(0.4)
            stored.append(frame.seq)

    api.on_socket = [serve]
    with client_of(api).listen(on_frame=store) as channel:
        eventually(lambda: acked[-1:] and acked[-1][0] == 2, within=WITHIN)
        assert all(done for _, done in acked)
        assert channel.last_seq == 2


def test_a_frame_that_was_not_acknowledged_before_a_break_is_afterwards(api: ScriptedApi) -> None:
    acked = threading.Event()

    def first(end: Socket) -> None:
        end.connected(seq=0)
        end.receive("resume")
        end.send("new_broadcast", {}, 1)

    def second(end: Socket) -> None:
        end.connected(seq=1)
        assert end.receive("ack")["seq"] == 1
        acked.set()
        end.wait_until_closed()

    api.on_socket = [first, second]
    with client_of(api).listen():
        assert acked.wait(WITHIN)


def test_a_broken_socket_is_resumed_where_it_broke(api: ScriptedApi) -> None:
    def first(end: Socket) -> None:
        end.connected(seq=0)
        end.receive("resume")
        end.send("new_broadcast", {}, 1)
        end.receive("ack")

    def second(end: Socket) -> None:
        end.connected(seq=3)
        assert end.receive("resume")["after"] == 1
        for seq in (1, 2, 2, 3):  # the server sends line 2 twice
            end.send("new_broadcast", {}, seq)
        end.wait_until_closed()

    api.on_socket = [first, second]
    with client_of(api).listen() as channel:
        channel.wait_for(lambda frame: frame.seq == 3, within=WITHIN)
        assert seqs(channel) == [1, 2, 3]
        assert channel.reconnects == 1


def test_listening_after_a_seq_brings_what_was_missed(api: ScriptedApi) -> None:
    def serve(end: Socket) -> None:
        end.connected(seq=9)
        assert end.receive("resume")["after"] == 7
        end.send("trip_assigned", {}, 8)
        end.send("trip_cancelled", {}, 9)
        end.wait_until_closed()

    api.on_socket = [serve]
    with client_of(api).listen(after=7) as channel:
        channel.wait_for("trip_cancelled", within=WITHIN)
        assert seqs(channel) == [8, 9]


def test_a_gap_is_asked_for_once_and_heard_in_order(api: ScriptedApi) -> None:
    def serve(end: Socket) -> None:
        end.connected(seq=0)
        end.receive("resume")
        end.send("new_broadcast", {}, 1)
        end.send("new_broadcast", {}, 3)
        assert end.receive("resume")["after"] == 1
        end.send("new_broadcast", {}, 2)
        end.send("new_broadcast", {}, 3)
        end.wait_until_closed()

    api.on_socket = [serve]
    with client_of(api).listen() as channel:
        channel.wait_for(lambda frame: frame.seq == 3, within=WITHIN)
        assert seqs(channel) == [1, 2, 3]


def test_live_frames_do_not_hide_a_gap_that_is_being_requested(api: ScriptedApi) -> None:
    def serve(end: Socket) -> None:
        end.connected(seq=0)
        end.receive("resume")
        for seq in (1, 3, 4):
            end.send("new_broadcast", {}, seq)
        assert end.receive("resume")["after"] == 1
        for seq in (2, 3, 4):
            end.send("new_broadcast", {}, seq)
        end.wait_until_closed()

    api.on_socket = [serve]
    with client_of(api).listen() as channel:
        channel.wait_for(lambda frame: frame.seq == 4, within=WITHIN)
        assert seqs(channel) == [1, 2, 3, 4]


def test_a_gap_that_stays_does_not_stop_the_log(api: ScriptedApi) -> None:
    def serve(end: Socket) -> None:
        end.connected(seq=0)
        end.receive("resume")
        end.send("new_broadcast", {}, 5)
        assert end.receive("resume")["after"] == 0
        end.send("new_broadcast", {}, 5)
        end.wait_until_closed()

    api.on_socket = [serve]
    with client_of(api).listen() as channel:
        channel.wait_for(lambda frame: frame.seq == 5, within=WITHIN)


def test_a_cursor_older_than_the_log_continues_at_its_oldest_line(api: ScriptedApi) -> None:
    def serve(end: Socket) -> None:
        end.connected(seq=900)
        assert end.receive("resume")["after"] == 3
        end.send("resync_required", {"oldestSeq": 899})
        assert end.receive("resume")["after"] == 898
        end.send("new_broadcast", {}, 899)
        end.wait_until_closed()

    api.on_socket = [serve]
    with client_of(api).listen(after=3) as channel:
        channel.wait_for("new_broadcast", within=WITHIN)
        assert "resync_required" in [frame.event for frame in channel.frames]


def test_a_message_that_is_no_frame_is_ignored(api: ScriptedApi) -> None:
    def serve(end: Socket) -> None:
        end.connected(seq=0)
        for text in ("{", "[]", '"text"', "{}"):
            end.send_text(text)
        end.send("new_broadcast", {}, 1)
        end.wait_until_closed()

    api.on_socket = [serve]
    with client_of(api).listen() as channel:
        channel.wait_for("new_broadcast", within=WITHIN)
        assert channel.reconnects == 0


@pytest.mark.parametrize("code", [4401, 4403, 4409])
def test_being_turned_away_is_final(api: ScriptedApi, code: int) -> None:
    def serve(end: Socket) -> None:
        end.connected(seq=0)
        end.close(code)

    api.on_socket = [serve]
    with client_of(api).listen() as channel:
        with pytest.raises(ChannelEnded) as ended:
            channel.wait_for("never", within=WITHIN)
        assert ended.value.code == code
        time.sleep(0.3)
        assert len(api.sockets) == 1, "the client must not reconnect"


def test_an_expired_token_is_replaced_where_there_is_a_fresh_one(api: ScriptedApi) -> None:
    def expire(end: Socket) -> None:
        end.connected(seq=0)
        end.close(4401)

    def welcome(end: Socket) -> None:
        end.connected(seq=0)
        end.send("new_broadcast", {}, 1)
        end.wait_until_closed()

    api.on_socket = [expire, welcome]
    tokens = iter(["old", "fresh"])
    with WeeloClient(api.url, lambda: next(tokens)).listen() as channel:
        channel.wait_for("new_broadcast", within=WITHIN)


def test_a_fresh_token_is_shown_on_the_living_socket_and_on_the_next(api: ScriptedApi) -> None:
    tokens: list[str] = []

    def shown(end: Socket) -> None:
        end.connected(seq=0)
        tokens.append(end.receive("auth")["token"])

    def next_one(end: Socket) -> None:
        tokens.append(end.authorization)
        end.connected(seq=0)
        end.send("new_broadcast", {}, 1)
        end.wait_until_closed()

    api.on_socket = [shown, next_one]
    with client_of(api).listen() as channel:
        assert channel.renew("a fresh token")
        channel.wait_for("new_broadcast", within=WITHIN)
    assert tokens == ["a fresh token", "Bearer a fresh token"]


def test_a_token_that_cannot_be_had_at_the_moment_is_asked_for_again(api: ScriptedApi) -> None:
    def cut(end: Socket) -> None:
        end.connected(seq=0)

    def welcome(end: Socket) -> None:
        end.connected(seq=0)
        end.send("new_broadcast", {}, 1)
        end.wait_until_closed()

    asked = count()

    def token() -> str:
        if next(asked) == 1:
            raise LookupError("the token server is away as well")
        return "a token"

    api.on_socket = [cut, welcome]
    with WeeloClient(api.url, token).listen() as channel:
        channel.wait_for("new_broadcast", within=WITHIN)


def test_a_client_that_is_disconnected_repeatedly_backs_off(api: ScriptedApi) -> None:
    connected_at: list[float] = []

    def throw_out(end: Socket) -> None:
        connected_at.append(time.monotonic())
        end.connected(seq=0)
        end.close(4429)

    api.on_socket = [throw_out] * 9
    with client_of(api).listen():
        eventually(lambda: len(connected_at) >= 5, within=WITHIN)
    assert connected_at[4] - connected_at[0] > 0.7


def test_a_timeout_names_the_reason_of_failed_connections() -> None:
    with socket.socket() as reserved:  # the port refuses connections, because the socket does not listen
        reserved.bind(("127.0.0.1", 0))
        client = WeeloClient(f"http://127.0.0.1:{reserved.getsockname()[1]}", "a token")
        with pytest.raises(FrameTimeout, match="refused"):
            client.listen(within=0.3)


def test_waiting_is_bounded_and_names_what_was_received_instead(api: ScriptedApi) -> None:
    def serve(end: Socket) -> None:
        end.connected(seq=0)
        end.send("new_broadcast", {"broadcastId": "b-1"}, 1)
        end.wait_until_closed()

    api.on_socket = [serve]
    with client_of(api).listen() as channel:
        channel.wait_for("new_broadcast", within=WITHIN, broadcastId="b-1")
        with pytest.raises(FrameTimeout, match=r"broadcastId=b-2.*new_broadcast"):
            channel.wait_for("new_broadcast", within=0.1, broadcastId="b-2")


def test_iterating_ends_when_the_channel_is_closed(api: ScriptedApi) -> None:
    def serve(end: Socket) -> None:
        end.connected(seq=0)
        for seq in (1, 2):
            end.send("new_broadcast", {}, seq)
        end.wait_until_closed()

    api.on_socket = [serve]
    channel = client_of(api).listen()
    channel.wait_for(lambda frame: frame.seq == 2, within=WITHIN)
    channel.close()
    assert [frame.event for frame in channel] == ["connected", "new_broadcast", "new_broadcast"]


def test_a_heartbeat_goes_over_the_socket(api: ScriptedApi) -> None:
    messages: list[dict[str, Any]] = []
    done = threading.Event()

    def serve(end: Socket) -> None:
        end.connected(seq=0)
        messages.append(end.receive("heartbeat"))
        done.set()
        end.wait_until_closed()

    api.on_socket = [serve]
    with client_of(api).listen() as channel:
        assert channel.heartbeat(28.6, 77.2)
        assert done.wait(WITHIN)
    assert messages == [{"op": "heartbeat", "latitude": 28.6, "longitude": 77.2}]


def test_both_sides_may_close_at_once(api: ScriptedApi) -> None:
    def serve(end: Socket) -> None:
        end.connected(seq=0)
        end.close(1001)

    api.on_socket = [serve] * 60
    for _ in range(30):
        client_of(api).listen().close()


class _Proxy:
    """A server that stands in for a proxy and records each connection."""

    def __init__(self) -> None:
        self.asked = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.asked += 1
                connection.close()

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_neither_socket_nor_request_to_this_machine_goes_to_a_proxy(
    host: str, api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that receives the request also receives the token."""
    proxy = _Proxy()
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    url = api.url.replace("127.0.0.1", host)
    api.answers = [(200, {"broadcast": None})]

    def serve(end: Socket) -> None:
        end.connected(seq=0)
        end.wait_until_closed()

    api.on_socket = [serve]
    with WeeloClient(url, "a token") as client, client.listen() as channel:
        channel.wait_for("connected", within=5)
        client.current_broadcast()
    proxy.close()
    assert proxy.asked == 0


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.8.9.1", True),
        ("ws://localhost:1/api", True),
        ("http://LOCALHOST.:1", True),
        ("http://weelo.localhost", True),
        ("http://[::1]:8000", True),
        ("http://[::ffff:127.0.0.1]:8000", True),
        ("http://0.0.0.0:8000", True),
        ("http://10.0.0.1", False),
        ("https://localhost.example", False),
        ("https://127.0.0.1.example", False),
    ],
)
def test_which_addresses_are_this_machine(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected
