"""What an owner does with webhooks: secrets and their rotation, tests, resending, limits."""

from __future__ import annotations

from typing import get_args
from uuid import uuid4

import pytest
from sqlalchemy import text
from standardwebhooks import WebhookVerificationError

from tests.support.waiting import eventually
from tests.support.webhook_receiver import Message, SilentEndpoint, WebhookReceiver
from tests.webhooks.hooks import Hooks
from weelo_workers.contracts.webhooks import CreateWebhook, EventName, NewWebhook
from weelo_workers.notifications.catalog import CATALOG
from weelo_workers.webhook_secrets import MAX_OLD_SECRETS
from weelo_workers.webhooks import create


def test_a_webhook_may_ask_for_every_event_of_the_catalog() -> None:
    assert set(get_args(EventName)) == {"*", *(route.name for route in CATALOG.values())}


def test_the_secret_is_in_no_row(hooks: Hooks, receiver: WebhookReceiver) -> None:
    """No outcome, event or webhook contains the secret, because it is derived whenever it is shown or used."""
    created = hooks.created(receiver.url)
    rotated = hooks.rotate(hooks.world.value("SELECT id FROM webhooks"))
    hooks.world.drain()
    eventually(lambda: len(receiver.messages) == 2)
    for secret in (created["secret"], rotated.result["secret"]):
        assert secret.startswith("whsec_")
        for table in ("mailbox", "events", "webhooks", "webhook_deliveries"):
            rows = hooks.world.rows(f"SELECT t::text AS row FROM {table} t")
            assert not [row for row in rows if secret in row.row or secret[6:] in row.row]
        assert not [message for message in receiver.messages if secret.encode() in message.body]


def test_after_a_rotation_both_secrets_verify_for_24_hours(hooks: Hooks, receiver: WebhookReceiver) -> None:
    first = hooks.created(receiver.url)["secret"]
    webhook = hooks.world.value("SELECT id FROM webhooks")
    hooks.wait_until_delivered(webhook, 1)
    second = hooks.rotate(webhook).result["secret"]
    third = hooks.rotate(webhook).result["secret"]
    assert len({first, second, third}) == 3
    hooks.wait_until_delivered(webhook, 3)
    message = receiver.messages[-1]
    for secret in (first, second, third):
        message.verify(secret)
    assert len(message.headers["webhook-signature"].split(" ")) == 3
    with hooks.world.engine.begin() as connection:
        past = "UPDATE webhooks SET old_secrets = jsonb_set(old_secrets, '{0,until}', '\"2020-01-01T00:00:00.000Z\"')"
        connection.execute(text(past))
    hooks.write()
    hooks.wait_until_delivered(webhook, 4)
    message = receiver.messages[-1]
    message.verify(second)
    message.verify(third)
    with pytest.raises(WebhookVerificationError):
        message.verify(first)


def test_too_many_rotations_have_to_wait(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    for _ in range(MAX_OLD_SECRETS):
        assert hooks.rotate(webhook).status == "succeeded"
    refused = hooks.rotate(webhook)
    assert refused.error["code"] == "TOO_EARLY"
    assert 86_000 < refused.error["retryAfter"] <= 86_401


def test_a_test_reports_how_the_endpoint_answered(hooks: Hooks, receiver: WebhookReceiver) -> None:
    created = hooks.created(receiver.url, "truck_confirmed")
    webhook = hooks.world.value("SELECT id FROM webhooks")
    result = hooks.test(webhook).result
    assert (result["delivered"], result["httpStatus"], result["error"]) == (True, 200, None)
    [message] = receiver.messages
    message.verify(created["secret"])
    assert message.frame["event"] == "webhook_test" and message.frame["seq"] is None
    assert message.frame["data"] == {"webhookId": str(webhook)}
    assert message.headers["webhook-id"] == message.frame["id"] == result["eventId"]
    receiver.status = 418
    result = hooks.test(webhook).result
    assert (result["delivered"], result["httpStatus"]) == (False, 418)
    kinds = [(each["kind"], each["status"]) for each in hooks.deliveries(webhook)]
    assert kinds == [("test", "failed"), ("test", "succeeded")]


def test_a_test_that_succeeds_ends_the_pause_of_a_failing_webhook(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    receiver.status = 500
    webhook = hooks.create(receiver.url)
    hooks.world.drain()
    hooks.wait_until_failed(webhook)
    receiver.status = 200
    assert hooks.test(webhook).result["delivered"]
    hooks.world.drain()
    eventually(lambda: [seq for seq in receiver.seqs() if seq is not None][1:] == hooks.log())


def test_pauses_that_tests_have_ended_leave_one_command_behind(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    """The endpoint accepts test events and refuses all others.

    So each test event ends the pause after a failure. The next attempt fails, and a longer pause begins.
    """
    receiver.answer = lambda message: 200 if message.frame["seq"] is None else 500
    webhook = hooks.create(receiver.url)
    hooks.world.drain()
    for failures in range(1, 9):
        hooks.wait_until_failed(webhook, failures)
        hooks.test(webhook)
        hooks.world.drain()
    hooks.wait_until_failed(webhook, 9)
    [waiting] = hooks.world.rows(
        "SELECT due_at FROM mailbox"
        " WHERE settled_at IS NULL AND name = 'webhooks.deliver' AND due_at > clock_timestamp() + interval '1 min'"
    )
    assert waiting.due_at == hooks.row(webhook).next_attempt_at


def test_a_webhook_that_is_deleted_during_a_test_has_no_records(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    webhook = hooks.create(receiver.url, "truck_confirmed")

    def answer(_: Message) -> int:
        hooks.delete(webhook)
        return 200

    receiver.answer = answer
    assert hooks.test(webhook).error["code"] == "WEBHOOK_NOT_FOUND"
    hooks.world.drain()
    assert hooks.world.value("SELECT count(*) FROM webhook_deliveries") == 0


@pytest.mark.long
def test_tests_of_endpoints_that_never_answer_are_limited(hooks: Hooks) -> None:
    silent = SilentEndpoint()
    webhook = hooks.create(silent.url)
    outcomes = hooks.world.race(*[lambda: hooks.test(webhook)] * 3)
    codes = [each.error["code"] for each in outcomes if each.error]
    assert codes == ["RATE_LIMITED"]
    assert [each.result["error"] for each in outcomes if each.result] == ["no answer within 10 s"] * 2
    silent.close()


def test_lines_are_resent_with_the_same_ids(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    hooks.write(4)
    hooks.wait_until_delivered(webhook, 5)
    first = {each.frame["seq"]: each.headers["webhook-id"] for each in receiver.messages}
    receiver.messages.clear()
    outcome = hooks.resend(webhook, 2, 3)
    assert outcome.result == {"id": str(webhook), "fromSeq": 2, "toSeq": 3, "lines": 2}
    hooks.wait_until_delivered(webhook, 6)
    assert receiver.seqs() == [2, 3, 6]
    assert {each.frame["seq"]: each.headers["webhook-id"] for each in receiver.messages[:2]} == {
        seq: first[seq] for seq in (2, 3)
    }
    resent = [each for each in hooks.deliveries(webhook) if each["kind"] == "resend"]
    assert [(each["seq"], each["status"]) for each in resent] == [(3, "succeeded"), (2, "succeeded")]


def test_a_resend_that_fails_is_listed_and_does_not_move_the_cursor(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    webhook = hooks.create(receiver.url)
    hooks.write(3)
    hooks.wait_until_delivered(webhook, 4)
    receiver.answer = lambda message: 500 if message.frame["seq"] < 5 else 200
    hooks.resend(webhook, 1, 3)
    hooks.wait_until_delivered(webhook, 5)
    failed = hooks.deliveries(webhook, "failed")
    assert sorted((each["seq"], each["attempts"]) for each in failed) == [(1, 1), (2, 0), (3, 0)]
    assert receiver.seqs() == [1, 2, 3, 4, 1, 5]
    assert hooks.row(webhook).is_active


def test_410_for_a_line_that_is_resent_disables_at_once(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url, "truck_confirmed", "command_settled")
    hooks.write(2)
    hooks.wait_until_delivered(webhook, 3)
    receiver.status = 410
    hooks.resend(webhook, 1, 2)
    hooks.world.drain()
    eventually(lambda: not hooks.row(webhook).is_active)
    assert hooks.row(webhook).disabled_reason == "gone"
    assert len(receiver.messages) == 4
    resent = [(each["seq"], each["status"]) for each in hooks.deliveries(webhook) if each["kind"] == "resend"]
    assert sorted(resent) == [(1, "failed"), (2, "failed")]


def test_a_line_waits_only_once_to_be_resent(hooks: Hooks, receiver: WebhookReceiver) -> None:
    """A repeated request to resend adds no record for a line that still waits.

    Otherwise each request could store 1,000 more records while the endpoint is slow.
    """
    webhook = hooks.create(receiver.url)
    hooks.write(4)
    hooks.wait_until_delivered(webhook, 5)
    receiver.messages.clear()
    assert [hooks.resend(webhook, *lines).result["lines"] for lines in ((1, 3), (1, 3), (2, 5))] == [3, 3, 4]
    # lines 1 to 5, and one line for the outcome of each of the three commands
    assert len(hooks.deliveries(webhook, "pending")) == 8
    hooks.wait_until_delivered(webhook, 8)
    assert sorted(receiver.seqs()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert hooks.resend(webhook, 1, 1).result["lines"] == 1
    hooks.wait_until_delivered(webhook, 9)
    assert receiver.seqs()[8:] == [1, 9]


def test_a_webhook_that_is_not_active_resends_nothing(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    hooks.update(webhook, isActive=False)
    assert hooks.resend(webhook, 1, 1).error["code"] == "INVALID_TRANSITION"


def test_a_new_url_of_a_failing_webhook_is_tried_at_once(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create("http://127.0.0.1:9/nothing")
    hooks.world.drain()
    hooks.wait_until_failed(webhook)
    hooks.update(webhook, url=receiver.url)
    hooks.wait_until_delivered(webhook, 2)
    assert receiver.seqs() == hooks.log()


def test_the_number_of_webhooks_is_limited_exactly(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create, "MAX_WEBHOOKS", 3)
    hooks.create(receiver.url)
    command = CreateWebhook(user_id=hooks.user, details=NewWebhook(url=receiver.url, events=("*",)))
    outcomes = hooks.world.race(*[lambda: hooks.execute(command)] * 5)
    assert [each.error["code"] for each in outcomes if each.error] == ["WEBHOOK_LIMIT"] * 3
    assert hooks.world.value("SELECT count(*) FROM webhooks") == 3


def test_a_webhook_of_another_user_is_not_found(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    stranger = Hooks(hooks.world)
    for outcome in (
        stranger.update(webhook, isActive=False),
        stranger.delete(webhook),
        stranger.rotate(webhook),
        stranger.resend(webhook, 1, 1),
        stranger.test(webhook),
        hooks.delete(uuid4()),
    ):
        assert outcome.error["code"] == "WEBHOOK_NOT_FOUND"


def test_a_new_url_does_not_activate_a_webhook_that_is_paused(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    webhook = hooks.create(receiver.url)
    paused = hooks.update(webhook, url=receiver.url + "/new", isActive=False).result
    assert (paused["isActive"], paused["url"]) == (False, receiver.url + "/new")
    assert hooks.update(webhook, url=receiver.url).result["isActive"] is False
