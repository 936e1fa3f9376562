"""HOOK-01 in a sandbox. Its clock is moved, so retries over hours and the expiry of certificates are tested in seconds.

Assertions need not wait after the clock was moved: the API answers only when every message that is due has been posted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from tests.sandbox.sandbox_system import Sandbox, moment
from tests.support.tls import Authority, TlsProxy
from tests.support.waiting import eventually, slowdown
from tests.support.webhook_receiver import Message, SilentEndpoint, WebhookReceiver
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.webhook import GIVE_UP_AFTER, RETRY_SECONDS

pytestmark = pytest.mark.xdist_group("system")

LONGEST = 1.2
"""Pauses are random. A pause is at most this many times as long as the one in RETRY_SECONDS."""


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    made = WebhookReceiver()
    yield made
    made.close()


@pytest.fixture
def dead_port() -> int:
    """Return a port on which no program listens."""
    closed = WebhookReceiver()
    closed.close()
    return closed.port


class Owner:
    """A customer with one webhook for all events."""

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self._sandbox, self._user = sandbox, uuid4()
        self._http = sandbox.http(Role.CUSTOMER, self._user)
        made = self._http.post("/webhooks", json={"url": url, "events": ["*"]})
        assert made.status_code == 201, made.text
        self.secret = made.json()["secret"]
        self._path = f"/webhooks/{made.json()['id']}"

    def webhook(self) -> dict[str, Any]:
        view: dict[str, Any] = self._http.get(self._path).json()
        return view

    def change(self, **changes: Any) -> None:
        self._http.put(self._path, json=changes).raise_for_status()

    def book(self) -> UUID:
        return UUID(self._sandbox.book(self._sandbox.client(Role.CUSTOMER, self._user)))

    def log(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._http.get("/events", params={"limit": 500}).json()["items"]
        return items

    def seqs(self) -> list[int]:
        return [line["seq"] for line in self.log()]

    def listed(self, status: str) -> list[dict[str, Any]]:
        """Return all deliveries of this status, by `seq`."""
        items: list[dict[str, Any]] = []
        query: dict[str, Any] = {"status": status, "limit": 100}
        while True:
            page = self._http.get(f"{self._path}/deliveries", params=query).json()
            items += page["items"]
            if page["nextCursor"] is None:
                return sorted(items, key=lambda each: each["seq"])
            query["cursor"] = page["nextCursor"]

    def attempts(self) -> int:
        """Return the number of failed attempts at the first undelivered line; 0 if no delivery has failed."""
        failed = self.listed("failed")
        return failed[0]["attempts"] if failed else 0


@pytest.mark.long
def test_HOOK_01_down_for_10_minutes_then_a_wrong_certificate_then_up_then_410(
    sandbox: Sandbox, receiver: WebhookReceiver, authority: Authority, dead_port: int, tmp_path: Path
) -> None:
    plain = f"http://{urlsplit(receiver.url).netloc}"
    wrong = Authority(tmp_path, "stranger").certificate("127.0.0.1")
    sandbox.fleet("drives", trucks=2, after=20)
    owner = Owner(sandbox, f"https://127.0.0.1:{dead_port}/hook")
    owner.book()
    sandbox.advance(600)
    assert owner.attempts() == 4
    assert sandbox.status(str(owner.log()[-1]["data"]["broadcastId"])) == "completed"
    with TlsProxy(plain, wrong, listen=dead_port) as proxy:
        sandbox.advance(1_000)
        assert owner.attempts() == 5
        assert "certificate verify failed" in owner.webhook()["lastError"]
        assert receiver.messages == []
        proxy.present(authority.certificate("127.0.0.1"))
        sandbox.advance(2_200)
        assert receiver.seqs() == owner.seqs()
        assert [message.frame for message in receiver.messages] == owner.log()
        assert owner.listed("failed") == owner.listed("pending") == []

        arrived = len(receiver.messages)
        receiver.status = 410
        owner.book()
        sandbox.advance(600)
        webhook = owner.webhook()
        assert (webhook["isActive"], webhook["disabledReason"], webhook["deliveredSeq"]) == (
            False,
            "gone",
            arrived,
        )
        assert "webhook_disabled" in [line["event"] for line in owner.log()]
        assert [each["seq"] for each in owner.listed("succeeded")] == owner.seqs()[:arrived]
        assert [each["seq"] for each in owner.listed("failed")] == owner.seqs()[arrived:]
        # One further message was answered with 410. After that, nothing was posted.
        assert len(receiver.messages) == arrived + 1

        receiver.status = 200
        owner.change(isActive=True)
        sandbox.advance(1)
        assert receiver.seqs()[:arrived] + receiver.seqs()[arrived + 1 :] == owner.seqs()
        assert receiver.messages[arrived].frame == receiver.messages[arrived + 1].frame


def test_HOOK_01_each_retry_is_made_within_the_advance_and_the_tenth_is_signed_as_well(
    sandbox: Sandbox, receiver: WebhookReceiver
) -> None:
    receiver.answer = lambda _: 500 if len(receiver.messages) < 10 else 204
    owner = Owner(sandbox, receiver.url)
    eventually(lambda: owner.attempts() == 1)
    for number, pause in enumerate(RETRY_SECONDS, start=2):
        sandbox.advance(pause * LONGEST + 0.5)
        assert len(receiver.messages) == owner.attempts() == number
    sandbox.advance(RETRY_SECONDS[-1] * LONGEST + 0.5)
    assert owner.attempts() == 0
    first = receiver.messages[:10]
    for message in first:
        message.verify(owner.secret)
        assert message.headers["webhook-id"] == first[0].headers["webhook-id"] == message.frame["id"]
    assert len({message.headers["webhook-signature"] for message in first}) > 1
    assert receiver.seqs() == [1] * 9 + owner.seqs()
    assert owner.listed("succeeded")[0]["attempts"] == 10


def test_HOOK_01_a_lost_answer_leads_to_a_second_message_with_the_same_id(
    sandbox: Sandbox, receiver: WebhookReceiver
) -> None:
    def loses_the_first_answer(message: Message) -> int:
        return -1 if len(receiver.messages) == 1 else 200

    receiver.answer = loses_the_first_answer
    owner = Owner(sandbox, receiver.url)
    eventually(lambda: owner.attempts() == 1)
    sandbox.advance(10)
    first, second, *rest = receiver.messages
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert [first.frame["seq"], *(each.frame["seq"] for each in rest)] == owner.seqs()


def test_HOOK_01_a_receiver_that_is_dead_for_24_hours_is_disabled(sandbox: Sandbox, dead_port: int) -> None:
    owner = Owner(sandbox, f"http://127.0.0.1:{dead_port}/hook")
    owner.book()
    eventually(lambda: owner.attempts() == 1)
    since = moment(owner.webhook()["failingSince"])
    began = time.monotonic()
    sandbox.advance(GIVE_UP_AFTER.total_seconds() + 1)
    assert time.monotonic() - began < 10 * slowdown()
    webhook = owner.webhook()
    assert (webhook["isActive"], webhook["disabledReason"]) == (False, "failing")
    [disabled] = [line for line in owner.log() if line["event"] == "webhook_disabled"]
    assert disabled["data"]["reason"] == "failing"
    after = moment(disabled["at"]) - since
    assert GIVE_UP_AFTER <= after < GIVE_UP_AFTER + timedelta(seconds=10 * slowdown())
    assert [each["seq"] for each in owner.listed("failed")] == owner.seqs()
    assert owner.listed("succeeded") == owner.listed("pending") == []


def test_HOOK_01_an_advance_waits_for_slow_answers_and_the_trip_arrives_in_order(
    sandbox: Sandbox, receiver: WebhookReceiver
) -> None:
    receiver.seconds = 0.1
    sandbox.fleet("drives", after=20)
    owner = Owner(sandbox, receiver.url)
    owner.book()
    sandbox.advance(300)
    assert receiver.seqs() == owner.seqs()
    assert [message.frame for message in receiver.messages] == owner.log()
    assert receiver.most_at_once == 1
    statuses = [
        message.frame["data"]["assignment"]["status"]
        for message in receiver.messages
        if message.frame["event"] == "assignment_status_changed"
    ]
    assert statuses[-1] == "completed"


@pytest.mark.long
def test_HOOK_01_workers_that_are_killed_between_two_posts_lose_no_line(
    sandbox: Sandbox, receiver: WebhookReceiver
) -> None:
    receiver.seconds = 0.2
    sandbox.fleet("drives", after=20)
    owner = Owner(sandbox, receiver.url)
    owner.book()
    key = uuid4().hex

    def has_advanced() -> bool:
        return sandbox.post("/clock/advance", {"seconds": 300}, Idempotency_Key=key).status_code == 200

    with ThreadPoolExecutor(1) as pool:
        advance = pool.submit(eventually, has_advanced, 120)
        eventually(lambda: len(receiver.messages) >= 5)
        sandbox.kill(",".join(QUEUES))
        advance.result()
    # If the worker was killed before it read a response, it posted the message again. So repeats are left out.
    assert list(dict.fromkeys(receiver.seqs())) == owner.seqs()
    assert [line["id"] for line in owner.log()] == list(
        dict.fromkeys(message.headers["webhook-id"] for message in receiver.messages)
    )


@pytest.mark.long
def test_an_attempt_that_is_never_answered_holds_the_clock_for_ten_real_seconds(sandbox: Sandbox) -> None:
    silent = SilentEndpoint()
    owner = Owner(sandbox, silent.url)
    silent.wait_for_a_connection()
    began = time.monotonic()
    sandbox.advance(1)
    taken = time.monotonic() - began
    assert owner.attempts() == 1
    assert owner.webhook()["lastError"] == "no answer within 10 s"
    assert 5 < taken < 11 + 4 * slowdown()
    silent.close()
