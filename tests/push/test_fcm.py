"""A batch of pushes: each message gets a result in time, and a delivered message is not sent again."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import RefreshError
from sqlalchemy import text

from tests.push.phones import device
from tests.support.fcm_server import FcmServer
from tests.support.world import World
from weelo_workers.notifications import event_log, fcm
from weelo_workers.notifications.fcm import DeliveryStatus
from weelo_workers.settings import settings


def message(token: str | None = None) -> fcm.Message:
    ends_at = datetime.now(UTC) + timedelta(hours=1)
    ids = {name: str(uuid4()) for name in ("eventId", "broadcastId", "assignmentId")}
    data = {"type": "trip_cancelled", "seq": "1", **ids}
    return fcm.Message(token or f"token-{uuid4()}", "android", data, None, ends_at)


def send(*messages: fcm.Message) -> list[fcm.DeliveryResult]:
    return fcm.send(messages, datetime.now(UTC))


def test_the_first_pushes_of_a_process_may_come_all_at_once(server: FcmServer) -> None:
    line = threading.Barrier(8)

    def first(_: int) -> fcm.DeliveryResult:
        line.wait(10)
        return send(message())[0]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(first, range(8)))
    assert [(answer.status, answer.why) for answer in answers] == [(DeliveryStatus.SENT, "")] * 8


def test_a_server_on_this_machine_is_reached_without_a_proxy(
    server: FcmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert send(message())[0].status is DeliveryStatus.SENT


def test_the_reason_why_FCM_cannot_be_used_is_reported_each_time(
    tmp_path: Path, server: FcmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    of_no_project = {
        "type": "service_account",
        "client_email": "weelo@example.com",
        "token_uri": "https://127.0.0.1:1/token",
        "private_key": key.decode(),
    }
    file = tmp_path / "account.json"
    file.write_text(json.dumps(of_no_project))
    other = settings().model_copy(update={"google_application_credentials": str(file)})
    monkeypatch.setattr(fcm, "settings", lambda: other)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    for _ in range(2):
        (answer,) = send(message())
        assert answer.status is DeliveryStatus.LATER and "GOOGLE_CLOUD_PROJECT" in answer.why


def test_a_message_that_has_arrived_is_not_sent_again_because_another_has_not(
    server: FcmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request of a batch may fail, for example if Google refuses to renew the credentials for it.

    The messages that were sent are not sent again.
    """
    asked = iter(range(100))

    def sometimes(*_: Any) -> None:
        if next(asked) % 2:
            raise RefreshError("not now")

    monkeypatch.setattr(AnonymousCredentials, "before_request", sometimes)
    messages = [message() for _ in range(6)]
    answers = send(*messages)
    sent = {
        m.token for m, answer in zip(messages, answers, strict=True) if answer.status is DeliveryStatus.SENT
    }
    assert sent == set(server.tokens()) and len(sent) == 3
    assert {answer.why for answer in answers} == {"", "RefreshError: not now"}


def test_a_batch_ends_in_time_though_FCM_says_a_byte_now_and_then(
    server: FcmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(message())  # opens the connection, so that the timed messages below need not wait for it
    monkeypatch.setattr(fcm, "BATCH_SECONDS", 1.5)
    slow, quick = message(), message()
    server.answers[slow.token] = "drip"
    began = time.monotonic()
    answers = send(slow, quick)
    assert [answer.status for answer in answers] == [DeliveryStatus.LATER, DeliveryStatus.SENT]
    assert time.monotonic() - began < 3.5


def test_a_transaction_outlives_its_batch() -> None:
    from weelo_workers.models import engine

    idle = float(engine.LIMITS["idle_in_transaction_session_timeout"].removesuffix("s"))
    assert idle >= 2 * fcm.BATCH_SECONDS


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("20", 20),
        ("0", 0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30),
        ("Thu, 01 Jan 2026 00:00:30 -0000", 30),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
        ("9" * 400, 86_400),
        ("Thu, 01 Jan 9999 00:00:00 GMT", 86_400),
        ("inf", 0),
        ("nan", 0),
        ("-5", 0),
        ("soon", 0),
    ],
)
def test_whatever_FCM_says_of_when_to_come_again_is_a_number_of_seconds(
    server: FcmServer, said: str, seconds: int
) -> None:
    server.retry_after = said
    asked = message()
    server.answers[asked.token] = "unavailable"
    (answer,) = fcm.send([asked], datetime(2026, 1, 1, tzinfo=UTC))
    assert answer.status is DeliveryStatus.LATER
    assert seconds - 2 <= answer.retry_after <= seconds


def test_many_sleepers_are_woken_batch_by_batch_each_in_its_own_transaction(
    world: World, server: FcmServer
) -> None:
    fleet = world.fleet()
    device(world, fleet.id)
    broadcast = world.broadcast(1)
    sleepers, phones_each = event_log.USERS_PER_PUSH, 3
    with world.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO offers (broadcast_id, transporter_id, step, version, offered_at)"
                " SELECT :id, gen_random_uuid(), 0, 0, clock_timestamp() FROM generate_series(1, :n)"
            ),
            {"id": broadcast, "n": sleepers},
        )
        connection.execute(
            text(
                "INSERT INTO devices (id, token, user_id, platform, registered_at)"
                " SELECT gen_random_uuid(), 'token-' || gen_random_uuid(), transporter_id, 'android', offered_at"
                " FROM offers, generate_series(1, :n) WHERE version = 0"
            ),
            {"n": phones_each},
        )
    server.received.clear()
    world.cancel(broadcast)
    sizes = []
    while due := world._due():
        for command in due:
            before = len(server.asked)
            world.bus.execute(command)
            sizes.append(len(server.asked) - before)
    tokens = {row.token for row in world.rows("SELECT token FROM devices")}
    assert sorted(server.tokens()) == sorted(tokens)
    assert len(tokens) == sleepers * phones_each + 1 > fcm.BATCH
    assert max(sizes) == fcm.BATCH <= 500
