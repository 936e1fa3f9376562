"""The checks of frames, ops, pushes and close codes record every deviation, and each only once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support import deviations, message_checks
from tests.support.webhook_receiver import WebhookReceiver

PONG = {"event": "pong", "at": "2026-02-19T10:00:00.000Z", "data": {"serverTime": "2026-02-19T10:00:00.000Z"}}
PUSH = {"type": "booking_expired", "eventId": "0b6f1d0c-4f0e-4d5c-9a53-6f6f4f0f7c21", "seq": "7"}


@pytest.mark.parametrize(
    ("check", "message", "noted"),
    [
        (message_checks.check_frame, PONG, ""),
        (message_checks.check_frame, PONG | {"event": "pang"}, "pang is not in asyncapi.json"),
        (message_checks.check_frame, PONG | {"seq": 1}, "Additional properties are not allowed"),
        (message_checks.check_frame, PONG | {"at": "2026-02-19T10:00:00Z"}, "is not a 'date-time'"),
        (message_checks.check_op, {"op": "ack", "seq": 1}, ""),
        (message_checks.check_op, {"op": "ack"}, "'seq' is a required property"),
        (message_checks.check_push, PUSH, "'broadcastId' is a required property"),
        (
            message_checks.check_push,
            PUSH | {"type": "hold_expired"},
            "push_hold_expired is not in asyncapi.json",
        ),
        (message_checks.check_close, 4401, ""),
        (message_checks.check_close, 1009, "close code 1009"),
    ],
)
def test_a_deviation_is_noted_once(check: Callable[[Any], None], message: Any, noted: str) -> None:
    check(message)
    message_checks.finish()
    found = deviations.take()
    assert [noted in text for text in found] == ([True] if noted else [])
    assert deviations.take() == []


def test_a_message_to_a_webhook_is_compared() -> None:
    receiver = WebhookReceiver()
    httpx.post(receiver.url, json={"id": PUSH["eventId"], "seq": 1, "event": "webhook_test", "data": {}})
    receiver.close()
    message_checks.finish()
    found = " ".join(deviations.take())
    assert "1 is not of type 'null' at $.seq" in found
    assert "'webhookId' is a required property at $.data" in found
