"""An owner changes a webhook while a sender posts to it and lines of the owner's log are not delivered yet."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks import WebhookVerificationError

from tests.support.findings import findings
from tests.support.waiting import eventually
from tests.support.webhook_receiver import Message, WebhookReceiver
from tests.webhooks.hooks import Hooks

LOST = "invariant: 1 webhooks whose lines wait and that no command delivers"


def change_at_the_first_message(
    receiver: WebhookReceiver, hooks: Hooks, *, status: int = 200, **changes: Any
) -> None:
    """Change the only webhook while its first message waits for an answer. Then answer this message with `status`."""

    def answer(_: Message) -> int:
        if len(receiver.messages) > 1:
            return 200
        hooks.update(hooks.world.value("SELECT id FROM webhooks"), **changes)
        hooks.world.drain()
        return status

    receiver.answer = answer


def test_lines_after_a_change_of_the_url_go_to_the_new_one(hooks: Hooks, receiver: WebhookReceiver) -> None:
    """The URL changes when the sender has already read all lines. Those that are not posted yet go to the new URL."""
    change_at_the_first_message(receiver, hooks, url=receiver.url + "/new")
    webhook = hooks.create(receiver.url)
    for _ in range(4):
        hooks.register_device()
    hooks.wait_until_delivered(webhook, 6)
    assert receiver.seqs("/hook") == [1]
    assert receiver.seqs("/hook/new") == hooks.log()[1:]


def test_a_failure_at_the_old_url_does_not_delay_the_new_one(hooks: Hooks, receiver: WebhookReceiver) -> None:
    """The change sends a command, which does nothing because a sender has the lease. So that sender must use the new URL."""
    change_at_the_first_message(receiver, hooks, status=500, url=receiver.url + "/new")
    webhook = hooks.create(receiver.url)
    hooks.world.drain()
    eventually(lambda: receiver.seqs("/hook/new") == hooks.log())
    assert hooks.failures(webhook) == 0


def test_lines_after_a_rotation_have_the_new_signature(hooks: Hooks, receiver: WebhookReceiver) -> None:
    created = hooks.created(receiver.url)
    webhook = hooks.world.value("SELECT id FROM webhooks")
    rotated: list[str] = []

    def answer(_: Message) -> int:
        if not rotated:
            rotated.append(hooks.rotate(webhook).result["secret"])
        return 200

    receiver.answer = answer
    for _ in range(3):
        hooks.register_device()
    hooks.wait_until_delivered(webhook, 5)
    first, *others = receiver.messages
    with pytest.raises(WebhookVerificationError):
        first.verify(rotated[0])
    for message in others:
        message.verify(rotated[0])
        message.verify(created["secret"])


def test_events_that_are_not_asked_for_any_more_are_not_posted(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    change_at_the_first_message(receiver, hooks, events=["truck_confirmed"])
    webhook = hooks.create(receiver.url)
    for _ in range(4):
        hooks.register_device()
    hooks.world.drain()
    eventually(lambda: hooks.row(webhook).delivered_seq >= 5 and hooks.is_idle(webhook))
    assert receiver.seqs() == [1]


def test_a_change_of_events_concerns_later_lines_only(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url, "truck_confirmed")
    hooks.wait_until_delivered(webhook, 1)
    hooks.write(5)
    hooks.update(webhook, events=["*"])
    later = max(hooks.log())
    assert [each["seq"] for each in hooks.deliveries(webhook, "pending")] == [later]
    hooks.write()
    eventually(lambda: receiver.seqs() == [later, later + 1])


def test_lines_that_wait_are_posted_after_a_change_of_events(hooks: Hooks, receiver: WebhookReceiver) -> None:
    """The waiting lines are of events to which the webhook is subscribed both before and after the change."""
    receiver.status = 500
    webhook = hooks.create(receiver.url, "command_settled")
    hooks.world.drain()
    hooks.wait_until_failed(webhook)
    hooks.register_device()
    receiver.status = 200
    receiver.messages.clear()
    hooks.update(webhook, events=["*"])
    hooks.next_attempt(webhook)
    eventually(lambda: receiver.seqs() == hooks.log())


def test_after_a_change_of_events_no_line_waits_without_a_command(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    webhook = hooks.create(receiver.url, "truck_confirmed")
    hooks.wait_until_delivered(webhook, 1)
    hooks.shift(20)
    eventually(lambda: hooks.is_idle(webhook))
    hooks.world.book(hooks.user)
    hooks.world.drain()
    hooks.update(webhook, events=["broadcast_state_changed"])
    hooks.world.drain()
    with hooks.world.engine.begin() as connection:
        connection.execute(text("UPDATE events SET at = at - interval '1 min'"))
        connection.execute(
            text("DELETE FROM mailbox WHERE queue = 'webhooks' AND due_at > clock_timestamp()")
        )
    assert LOST not in findings("webhook-not-delivered")
