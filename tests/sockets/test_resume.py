"""Resuming: every line after a `seq`, in order, without gap or repeat, then live frames."""

from __future__ import annotations

import threading
from uuid import UUID

import httpx
import pytest

from tests.support.api_process import Api
from tests.support.log_writer import LogWriter
from tests.support.tokens import token

PAGE = 500


def test_resume_sends_what_came_later_and_then_goes_on_live(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    log_writer.write_and_publish(someone, 10)
    client = api.connect_as(someone)
    client.send(op="resume", after=4)
    assert client.seqs(6) == [5, 6, 7, 8, 9, 10]
    log_writer.write_and_publish(someone)
    assert client.seqs(1) == [11]
    assert client.is_silent()


@pytest.mark.parametrize("after", [10, 11, 2**62])
def test_resume_from_the_end_or_beyond_is_live_at_once(
    api: Api, log_writer: LogWriter, someone: UUID, after: int
) -> None:
    log_writer.write_and_publish(someone, 10)
    client = api.connect_as(someone)
    client.send(op="resume", after=after)
    assert client.is_silent()
    log_writer.write_and_publish(someone)
    assert client.seqs(1) == [11]


def test_resume_without_a_log_is_live_at_once(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    client = api.connect_as(someone)
    client.send(op="resume", after=0)
    assert client.is_silent()
    log_writer.write_and_publish(someone)
    assert client.seqs(1) == [1]


def test_a_client_may_ask_again_for_what_it_has_heard(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    client = api.connect_as(someone)
    log_writer.write_and_publish(someone, 5)
    assert client.seqs(5) == [1, 2, 3, 4, 5]
    client.send(op="resume", after=3)
    assert client.seqs(2) == [4, 5]
    assert client.is_silent()


@pytest.mark.parametrize("count", [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE])
def test_pages_meet_without_a_seam(api: Api, log_writer: LogWriter, someone: UUID, count: int) -> None:
    log_writer.write(someone, count)
    client = api.connect_as(someone)
    client.send(op="resume", after=0)
    assert client.seqs(count) == list(range(1, count + 1))
    assert client.is_silent()


def test_a_long_replay_stays_in_order_while_new_lines_arrive(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    log_writer.write(someone, 3_000, size=500)
    client = api.connect_as(someone)
    client.send(op="resume", after=0)
    writer = threading.Thread(target=lambda: [log_writer.write_and_publish(someone, 3) for _ in range(100)])
    writer.start()
    assert client.seqs(3_300) == list(range(1, 3_301))
    writer.join()
    assert client.is_silent()


@pytest.mark.long
def test_a_replay_waits_for_a_client_that_pauses(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    log_writer.write(someone, 3_000, size=1_000)
    client = api.connect_as(someone)
    client.send(op="resume", after=0)
    client.frame()
    blocked = threading.Event()
    assert not blocked.wait(2), "reading pauses, as an app in the background does"
    log_writer.write_and_publish(someone, 10)
    assert client.seqs(3_009) == list(range(2, 3_011))


def test_what_is_not_kept_any_more_cannot_be_resumed(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    log_writer.write(someone, 10)
    log_writer.purge(someone, up_to=6)
    client = api.connect_as(someone)
    client.send(op="resume", after=5)
    frame = client.frame()
    assert (frame["event"], frame["data"]) == ("resync_required", {"oldestSeq": 7})
    assert "seq" not in frame
    client.send(op="resume", after=6)
    assert client.seqs(4) == [7, 8, 9, 10]


def test_a_log_of_which_nothing_is_kept_resumes_from_its_end(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    log_writer.write(someone, 10)
    log_writer.purge(someone, up_to=10)
    client = api.connect_as(someone)
    client.send(op="resume", after=9)
    assert client.frame()["data"] == {"oldestSeq": 11}
    client.send(op="resume", after=10)
    assert client.is_silent()
    log_writer.write_and_publish(someone)
    assert client.seqs(1) == [11]


def test_over_http_too_a_log_says_where_it_begins_if_something_is_missing(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    log_writer.write(someone, 10)
    log_writer.purge(someone, up_to=6)

    def page(after: int) -> tuple[list[int], int | None]:
        answer = httpx.get(
            f"http://127.0.0.1:{api.port}/api/v1/events",
            params={"after": after},
            headers={"Authorization": f"Bearer {token('customer', someone)}"},
        ).json()
        return [line["seq"] for line in answer["items"]], answer.get("oldestSeq")

    assert page(5) == ([7, 8, 9, 10], 7)
    assert page(6) == ([7, 8, 9, 10], None)
    assert page(10) == ([], None)
    log_writer.purge(someone, up_to=10)
    assert page(9) == ([], 11)
    assert page(10) == ([], None)


def test_what_ages_in_the_middle_of_a_replay_is_no_silent_gap(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    """The client reads no frames for a while, so the server stops sending stored lines. Meanwhile the next ones are purged."""
    log_writer.write(someone, 3_000, size=1_000)
    client = api.connect_as(someone)
    client.send(op="resume", after=0)
    client.frame()
    log_writer.purge(someone, up_to=2_900)
    frame = client.frame()
    while frame["event"] != "resync_required":
        assert frame["seq"] < 2_900, "a gap without resync_required"
        frame = client.frame()
    assert frame["data"] == {"oldestSeq": 2_901}
    client.send(op="resume", after=2_900)
    assert client.seqs(100) == list(range(2_901, 3_001))
    log_writer.write_and_publish(someone)
    assert client.seqs(1) == [3_001]


def test_a_reconnecting_client_misses_nothing(api: Api, log_writer: LogWriter, someone: UUID) -> None:
    """As an app does, the client stores the last seq and resumes after it, while new lines are written."""
    writer = threading.Thread(target=lambda: [log_writer.write_and_publish(someone) for _ in range(150)])
    writer.start()
    received: list[int] = []
    while len(received) < 150:
        client = api.connect_as(someone)
        client.send(op="resume", after=len(received))
        until = min(len(received) + 17, 150)
        while len(received) < until:
            # The test ignores live frames that the server sent before it read `resume`. The server sends these lines
            # again.
            if (seq := client.frame()["seq"]) == len(received) + 1:
                received.append(seq)
        client.disconnect()
    writer.join()
    assert received == list(range(1, 151))
