"""Live frames: every line of a user's log, once and in order, whatever happens to the live stream."""

from __future__ import annotations

import json
import random
from uuid import UUID, uuid4

import pytest

from tests.support.api_process import Api
from tests.support.log_writer import LogWriter
from weelo_workers.notifications import live_stream
from weelo_workers.redis_client import redis

HEALED_WITHIN_SECONDS = 5.0


def test_the_greeting_says_how_far_the_log_goes_and_live_begins_there(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    log_writer.write_and_publish(someone, 3)
    client = api.connect_as(someone)
    assert client.greeting["data"]["seq"] == 3
    log_writer.write_and_publish(someone)
    assert client.seqs(1) == [4]
    assert client.is_silent()


def test_a_frame_has_what_the_contract_says(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    client = api.connect_as(someone)
    [item] = log_writer.write_and_publish(someone, own={"pickupDistanceKm": 1.5})
    frame = client.frame()
    assert set(frame) == {"id", "seq", "event", "at", "data"}
    assert (frame["id"], frame["event"]) == (str(item.id), "tested")
    assert frame["data"] == {"number": 1, "padding": "", "pickupDistanceKm": 1.5}


def test_the_same_frame_comes_live_and_from_the_log(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    client = api.connect_as(someone)
    log_writer.write_and_publish(someone, own={"assignedToYou": 2})
    live = client.frame()
    client.send(op="resume", after=0)
    assert client.frame() == live


def test_news_out_of_order_is_put_in_order(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    client = api.connect_as(someone)
    items = log_writer.write(someone, 40)
    random.Random(7).shuffle(items)
    for item in items:
        live_stream.publish([item])
    assert client.seqs(40) == list(range(1, 41))
    assert client.is_silent()


def test_news_that_comes_twice_is_told_once(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    client = api.connect_as(someone)
    items = log_writer.write_and_publish(someone, 5)
    live_stream.publish(items)
    live_stream.publish(items[2:])
    log_writer.write_and_publish(someone)
    assert client.seqs(6) == [1, 2, 3, 4, 5, 6]
    assert client.is_silent()


def test_news_with_a_hole_is_completed_from_the_log(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    client = api.connect_as(someone)
    items = log_writer.write(someone, 10)
    live_stream.publish([items[3]])
    live_stream.publish([items[9]])
    assert client.seqs(10, within=1) == list(range(1, 11))


def test_lines_without_any_news_are_found_within_seconds(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    client = api.connect_as(someone)
    log_writer.write(someone, 3)
    assert client.seqs(3, within=HEALED_WITHIN_SECONDS) == [1, 2, 3]
    log_writer.write_and_publish(someone)
    assert client.seqs(1, within=1) == [4]


def test_nobody_hears_what_is_told_to_others(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    client = api.connect_as(someone)
    log_writer.write_and_publish(uuid4(), 5)
    assert client.is_silent()


def test_every_socket_of_a_user_hears_everything(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    phone, tablet = api.connect_as(someone), api.connect_as(someone)
    log_writer.write_and_publish(someone, 3)
    assert phone.seqs(3) == tablet.seqs(3) == [1, 2, 3]


def test_what_is_in_no_log_is_passed_on_without_a_number(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    data = {
        "tripId": str(uuid4()),
        "latitude": 1.5,
        "longitude": 77.2,
        "speed": None,
        "bearing": 90.0,
        "recordedAt": "2026-02-19T10:00:00.000Z",
    }
    entry = {"event": "location_updated", "data": data, "to": {str(someone): [None, None]}}
    redis().xadd(live_stream.STREAM_KEY, {"items": json.dumps([entry])})
    frame = client.frame()
    assert set(frame) == {"event", "at", "data"}
    assert frame["data"] == data


def test_unreadable_news_is_skipped(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    client = api.connect_as(someone)
    for items in ("not json", "7", '[{"event":1}]', '[{"event":"e","to":{"nobody":[1,null]}}]'):
        redis().xadd(live_stream.STREAM_KEY, {"items": items})
    redis().xadd(live_stream.STREAM_KEY, {"no": "items"})
    log_writer.write_and_publish(someone)
    assert client.seqs(1, within=1) == [1]


def test_an_emptied_redis_is_survived(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    client = api.connect_as(someone)
    log_writer.write_and_publish(someone)
    assert client.seqs(1) == [1]
    redis().flushdb()
    log_writer.write_and_publish(someone, 2)
    assert client.seqs(2, within=1) == [2, 3]
    log_writer.write(someone, 2)
    redis().flushdb()
    assert client.seqs(2, within=HEALED_WITHIN_SECONDS) == [4, 5]


def test_a_stream_that_begins_anew_with_an_earlier_clock_is_read_again(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    client = api.connect_as(someone)
    log_writer.write_and_publish(someone)
    assert client.seqs(1) == [1]
    redis().delete(live_stream.STREAM_KEY)
    redis().xadd(live_stream.STREAM_KEY, {"items": "[]"}, id="5-1")
    # Line 2 is not published, so the session reads it from the log some time later. By then the stream reader has
    # noticed that the stream was replaced, so line 3 arrives through the new stream.
    log_writer.write(someone)
    assert client.seqs(1, within=HEALED_WITHIN_SECONDS) == [2]
    log_writer.write_and_publish(someone)
    assert client.seqs(1, within=1) == [3]


@pytest.mark.long
def test_two_api_processes_tell_the_same(log_writer: LogWriter, someone: UUID, migrated: None) -> None:
    one, other = Api(), Api()
    try:
        clients = [one.connect_as(someone), other.connect_as(someone)]
        log_writer.write_and_publish(someone, 20)
        assert [client.seqs(20) for client in clients] == [list(range(1, 21))] * 2
    finally:
        one.stop()
        other.stop()
