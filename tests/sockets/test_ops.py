"""What the server does for the messages that clients send: `ack`, `ping`, `heartbeat`, and messages with an unknown `op`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.support.api_process import Api
from tests.support.log_writer import LogWriter
from tests.support.waiting import eventually
from weelo_workers import presence
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.redis_client import redis

KIND = "lcv|17ft"


def acked(user_id: UUID) -> int:
    return int(redis().get(f"weelo:acked:{user_id}") or 0)


def test_an_ack_is_kept_for_whoever_decides_about_pushes(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    client = api.connect_as(someone)
    log_writer.write_and_publish(someone, 5)
    client.seqs(5)
    client.send(op="ack", seq=3)
    assert eventually(lambda: acked(someone) == 3)


def test_an_ack_is_forgotten_with_the_lines_that_it_speaks_of(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    log_writer.write(someone, 1)
    api.connect_as(someone).send(op="ack", seq=1)
    assert eventually(lambda: acked(someone) == 1)
    days = redis().ttl(f"weelo:acked:{someone}") / 86_400
    assert 6.9 < days <= 7


def test_acks_never_go_back(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    log_writer.write(someone, 9)
    first, second = api.connect_as(someone), api.connect_as(someone)
    first.send(op="ack", seq=9)
    assert eventually(lambda: acked(someone) == 9)
    second.send(op="ack", seq=4)
    second.send(op="ack", seq=2)
    log_writer.write_and_publish(someone)
    second.seqs(1)
    second.send(op="ack", seq=10)
    assert eventually(lambda: acked(someone) == 10)


def test_an_ack_from_the_future_does_not_silence_what_is_to_come(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    log_writer.write(someone, 2)
    api.connect_as(someone).send(op="ack", seq=1_000_000)
    assert eventually(lambda: acked(someone) == 2)


def test_ping_is_answered_with_the_time(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    client.send(op="ping")
    pong = client.frame()
    assert pong["event"] == "pong"
    assert "seq" not in pong
    assert pong["data"]["serverTime"].endswith("Z")


def test_a_transporters_heartbeat_moves_the_marker(api: Api, someone: UUID) -> None:
    presence.online(someone, [KIND], stamp=1.0)
    client = api.connect_as(someone, "transporter")
    client.send(op="heartbeat", latitude=28.6, longitude=77.2)
    here = presence.Point(28.6, 77.2)
    assert eventually(lambda: someone in presence.search([KIND], here, Reach.within(1.0)).near)


def test_a_drivers_heartbeat_is_accepted(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone, "driver")
    client.send(op="heartbeat", latitude=28, longitude=77)
    assert client.is_silent()


def test_a_customer_has_no_heartbeat(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    client.send(op="heartbeat", latitude=28.6, longitude=77.2)
    assert client.frame()["data"]["code"] == "FORBIDDEN"
    assert client.is_silent()


@pytest.mark.parametrize("unknown", ["{}", '{"op":"dance"}', '{"op":7}'])
def test_a_frame_without_a_known_op_is_told_which_there_are(api: Api, someone: UUID, unknown: str) -> None:
    client = api.connect_as(someone)
    client.ws.send(unknown)
    assert client.frame()["data"]["detail"] == "op: Send one of auth, resume, ack, heartbeat, ping"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "not json",
        "null",
        "[]",
        '"ping"',
        "{}",
        '{"op":"dance"}',
        '{"op":7}',
        '{"op":null}',
        '{"op":"resume"}',
        '{"op":"resume","after":-1}',
        '{"op":"resume","after":"3"}',
        '{"op":"resume","after":true}',
        '{"op":"resume","after":1.5}',
        '{"op":"resume","after":99999999999999999999}',
        '{"op":"ack","seq":null}',
        '{"op":"ping","extra":1}',
        '{"op":"resume","after":0,"after":1}',
        '{"op":"ping","op":"ping"}',
        '{"op":"heartbeat","latitude":91,"longitude":0}',
        '{"op":"heartbeat","latitude":"28","longitude":0}',
        '{"op":"heartbeat","latitude":NaN,"longitude":0}',
        '{"op":"heartbeat","latitude":1}',
        '{"op":"\\ud800"}',
        "[" * 8_000,
        '{"op":' * 1_300,
        b'{"op":"ping"}',
        b"\xff\xfe",
    ],
    ids=lambda bad: repr(bad)[:40],
)
def test_a_bad_frame_gets_an_error_and_the_socket_stays(api: Api, someone: UUID, bad: Any) -> None:
    client = api.connect_as(someone, "transporter")
    if isinstance(bad, bytes):
        client.ws.send_binary(bad)
    else:
        client.ws.send(bad)
    frame = client.frame()
    assert frame["event"] == "error"
    assert set(frame) == {"event", "at", "data"}
    assert frame["data"]["code"] == "VALIDATION_ERROR"
    assert 0 < len(frame["data"]["detail"]) <= 300
    assert client.is_silent()
