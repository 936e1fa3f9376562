"""A webhook receives the lines of its owner's log: each one, in order, signed, with the id of its event."""

from __future__ import annotations

from functools import partial
from time import monotonic

import pytest
from sqlalchemy import event, text
from standardwebhooks import WebhookVerificationError

from tests.support.waiting import eventually
from tests.support.webhook_receiver import SilentEndpoint, WebhookReceiver
from tests.webhooks.hooks import Hooks
from weelo_workers.messaging.retention import purge_expired
from weelo_workers.models.engine import engine
from weelo_workers.queries.log import lines_after
from weelo_workers.webhooks import leases, purge_deliveries, sending


def test_HOOK_01_every_line_arrives_once_in_order_and_signed(hooks: Hooks, receiver: WebhookReceiver) -> None:
    created = hooks.created(receiver.url)
    hooks.write(5)
    eventually(lambda: receiver.seqs() == hooks.log())
    for message in receiver.messages:
        message.verify(created["secret"])
        assert message.headers["webhook-id"] == message.frame["id"]
        assert message.headers["content-type"] == "application/json"
    assert len(receiver.messages) == 6


def test_a_message_has_the_body_of_the_sockets_frame(hooks: Hooks, receiver: WebhookReceiver) -> None:
    hooks.create(receiver.url)
    hooks.write()
    eventually(lambda: len(receiver.messages) == 2)
    with hooks.world.engine.connect() as connection:
        frames = lines_after(connection, hooks.user, 0, 10)
    assert [message.frame for message in receiver.messages] == frames


def test_a_webhook_begins_at_the_end_of_the_log(hooks: Hooks, receiver: WebhookReceiver) -> None:
    hooks.write(3)
    hooks.create(receiver.url)
    hooks.write()
    eventually(lambda: receiver.seqs() == [4, 5])


def test_only_the_events_that_were_asked_for_are_posted(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url, "broadcast_state_changed")
    hooks.world.book(hooks.user)
    hooks.world.drain()

    def wanted() -> list[int]:
        return [line["seq"] for line in hooks.world.events_of(hooks.user, "broadcast_state_changed")]

    assert 0 < len(wanted()) < len(hooks.log())
    eventually(lambda: receiver.seqs() == wanted())
    eventually(lambda: sorted(each["seq"] for each in hooks.deliveries(webhook)) == wanted())


def test_many_lines_that_are_not_asked_for_are_skipped_at_once(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "PORTION", 5)
    webhook = hooks.create(receiver.url, "broadcast_state_changed")
    hooks.wait_until_delivered(webhook, 1)
    for _ in range(40):
        hooks.register_device()
    hooks.world.book(hooks.user)
    portions: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if "is_due" in statement:
            portions.append(statement)

    event.listen(engine(), "before_cursor_execute", note)
    try:
        hooks.wait_until_delivered(webhook, max(hooks.log()))
    finally:
        event.remove(engine(), "before_cursor_execute", note)
    assert 0 < len(receiver.messages) == len(hooks.world.events_of(hooks.user, "broadcast_state_changed"))
    assert len(portions) <= 4


def test_a_line_without_a_matching_event_wakes_no_worker(hooks: Hooks, receiver: WebhookReceiver) -> None:
    hooks.create(receiver.url, "truck_confirmed")
    hooks.write()
    sent = "SELECT count(*) FROM mailbox WHERE name = 'webhooks.deliver' AND NOT payload ? 'lease'"
    before = hooks.world.value(sent)
    hooks.write(3)
    assert hooks.world.value(sent) == before


def test_HOOK_01_a_receiver_that_was_down_gets_the_whole_log(hooks: Hooks) -> None:
    receiver = WebhookReceiver()
    receiver.close()
    webhook = hooks.create(receiver.url)
    hooks.write(4)
    hooks.wait_until_failed(webhook)
    [failing] = hooks.deliveries(webhook, "failed")
    assert (failing["seq"], failing["attempts"]) == (1, 1)
    assert failing["nextAttemptAt"] is not None and failing["error"]
    assert [each["seq"] for each in hooks.deliveries(webhook, "pending")] == [5, 4, 3, 2]
    hooks.shift(10)
    hooks.wait_until_failed(webhook, times=2)
    up = WebhookReceiver(receiver.port)
    hooks.shift(60)
    eventually(lambda: up.seqs() == hooks.log())
    hooks.wait_until_delivered(webhook, 5)
    assert hooks.failures(webhook) == 0
    assert hooks.deliveries(webhook, "failed") == hooks.deliveries(webhook, "pending") == []
    succeeded = hooks.deliveries(webhook, "succeeded", limit=2)
    assert [(each["seq"], each["attempts"]) for each in succeeded] == [(5, 1), (4, 1), (3, 1), (2, 1), (1, 3)]
    up.close()


def test_the_signature_is_made_anew_for_each_attempt(hooks: Hooks, receiver: WebhookReceiver) -> None:
    created = hooks.created(receiver.url)
    webhook = hooks.world.value("SELECT id FROM webhooks")
    receiver.status = 500
    hooks.world.drain()
    for attempt in range(1, 10):
        hooks.wait_until_failed(webhook, times=attempt)
        receiver.status = 500 if attempt < 9 else 204
        hooks.next_attempt(webhook)
    eventually(lambda: hooks.row(webhook).delivered_seq == 1)
    assert len(receiver.messages) == 10
    for message in receiver.messages:
        message.verify(created["secret"])
        assert message.headers["webhook-id"] == receiver.messages[0].headers["webhook-id"]


def test_a_signature_of_another_secret_is_refused(hooks: Hooks, receiver: WebhookReceiver) -> None:
    hooks.create(receiver.url)
    other = hooks.created(receiver.url + "/other")
    hooks.world.drain()
    eventually(lambda: len(receiver.messages) >= 2)
    [message] = [each for each in receiver.messages if each.path == "/hook"][:1]
    with pytest.raises(WebhookVerificationError):
        message.verify(other["secret"])


def test_410_disables_at_once_and_the_rest_is_listed(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    hooks.wait_until_delivered(webhook, 1)
    receiver.status = 410
    hooks.write(3)
    eventually(lambda: not hooks.row(webhook).is_active)
    hooks.world.drain()
    [disabled] = hooks.world.events_of(hooks.user, "webhook_disabled")
    assert (disabled["webhookId"], disabled["reason"]) == (str(webhook), "gone")
    delivered = [each["seq"] for each in hooks.deliveries(webhook, "succeeded")]
    failed = [each["seq"] for each in hooks.deliveries(webhook, "failed")]
    assert sorted(delivered + failed) == hooks.log()
    assert len(receiver.messages) == 2


def test_a_webhook_is_disabled_24_hours_after_its_first_failure(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    webhook = hooks.create(receiver.url)
    receiver.status = 503
    hooks.world.drain()
    attempts = 0
    while hooks.row(webhook).is_active:
        attempts += 1
        assert attempts < 30
        hooks.wait_until_failed(webhook, times=attempts)
        if hooks.row(webhook).is_active:
            hooks.next_attempt(webhook)
            eventually(partial(hooks.is_idle, webhook))
    hooks.world.drain()
    assert hooks.row(webhook).disabled_reason == "failing"
    [disabled] = hooks.world.events_of(hooks.user, "webhook_disabled")
    assert disabled["reason"] == "failing"
    assert 10 <= len(receiver.messages) <= 20


def test_a_disabled_webhook_that_is_activated_again_gets_what_it_missed(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    webhook = hooks.create(receiver.url)
    receiver.status = 410
    hooks.world.drain()
    eventually(lambda: not hooks.row(webhook).is_active)
    hooks.write(2)
    receiver.status = 200
    receiver.messages.clear()
    outcome = hooks.update(webhook, isActive=True)
    assert outcome.result["isActive"] is True
    hooks.world.drain()
    eventually(lambda: receiver.seqs() == hooks.log())


def test_a_paused_webhook_receives_nothing_until_it_goes_on(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    hooks.wait_until_delivered(webhook, 1)
    assert hooks.update(webhook, isActive=False).result["disabledReason"] == "owner"
    hooks.write(2)
    assert [each["status"] for each in hooks.deliveries(webhook)][:3] == ["pending"] * 3
    hooks.update(webhook, isActive=True)
    hooks.world.drain()
    eventually(lambda: receiver.seqs() == hooks.log())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_and_not_followed(
    status: int, hooks: Hooks, receiver: WebhookReceiver
) -> None:
    receiver.status, receiver.headers = status, {"Location": receiver.url + "/elsewhere"}
    webhook = hooks.create(receiver.url)
    hooks.world.drain()
    hooks.wait_until_failed(webhook)
    assert [each.path for each in receiver.messages] == ["/hook"]
    assert hooks.row(webhook).last_error == f"the endpoint answered {status}"


def test_a_line_that_failed_shows_the_status_of_the_last_answer(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    receiver.status = 503
    webhook = hooks.create(receiver.url)
    hooks.write(1)
    hooks.world.drain()
    hooks.wait_until_failed(webhook)
    tried, *untried = reversed(hooks.deliveries(webhook))
    assert (tried["status"], tried["httpStatus"]) == ("failed", 503)
    assert untried and all(each["httpStatus"] is None for each in untried)
    receiver.status = 200
    hooks.update(webhook, isActive=True)
    hooks.world.drain()
    eventually(lambda: receiver.seqs()[-1:] == hooks.log()[-1:])
    eventually(lambda: hooks.row(webhook).last_http_status is None)
    assert {each["httpStatus"] for each in hooks.deliveries(webhook)} == {200}


def test_a_connection_that_is_cut_is_a_failure(hooks: Hooks, receiver: WebhookReceiver) -> None:
    receiver.status = -1
    webhook = hooks.create(receiver.url)
    hooks.world.drain()
    hooks.wait_until_failed(webhook)
    assert hooks.deliveries(webhook)[-1]["httpStatus"] is None


def test_a_long_answer_counts_by_its_status(hooks: Hooks, receiver: WebhookReceiver) -> None:
    receiver.body = b"x" * 1_000_000
    webhook = hooks.create(receiver.url)
    hooks.world.drain()
    eventually(lambda: hooks.row(webhook).delivered_seq == 1)


def test_HOOK_01_hundreds_of_endpoints_that_never_answer_delay_no_other(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    silent = SilentEndpoint()
    others = [Hooks(hooks.world) for _ in range(300)]
    for other in others:
        other.create(silent.url)
    hooks.create(receiver.url)
    hooks.world.drain()
    eventually(lambda: receiver.seqs() == [1])
    began = monotonic()
    hooks.write()
    eventually(lambda: len(receiver.messages) == 2)
    assert receiver.messages[1].at - began < 1
    # Most posts to the silent endpoint still wait for an answer, so their webhooks are leased. On a busy machine the
    # first posts may already have timed out and released their leases, so fewer than 300 leases are required.
    assert hooks.world.value("SELECT count(*) FROM webhooks WHERE lease_token IS NOT NULL") > 100
    silent.close()


def test_failing_endpoints_leave_places_for_others_when_there_are_more_of_them_than_places(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MOST_POSTS_AT_ONCE", 8)
    sender = sending.Sender()
    monkeypatch.setattr(sending, "sender", lambda: sender)
    silent = SilentEndpoint()
    for _ in range(12):
        Hooks(hooks.world).create(silent.url)
    with hooks.world.engine.begin() as connection:
        connection.execute(text("UPDATE webhooks SET failures = 1, failing_since = clock_timestamp()"))
    hooks.world.drain()
    silent.wait_for_a_connection()
    webhook = hooks.create(receiver.url)
    began = monotonic()
    hooks.wait_until_delivered(webhook, 1)
    assert receiver.messages[0].at - began < 1
    silent.close()


@pytest.mark.long
def test_an_endpoint_that_answers_after_ten_seconds_has_failed(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    receiver.seconds = 11
    webhook = hooks.create(receiver.url)
    hooks.world.drain()
    eventually(lambda: hooks.failures(webhook) == 1, within=15)
    assert hooks.row(webhook).last_error == "no answer within 10 s"


def test_a_webhook_that_is_deleted_receives_nothing_more(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    hooks.write(3)
    eventually(lambda: receiver.seqs() == [1, 2, 3, 4])
    assert hooks.delete(webhook).result == {"id": str(webhook), "deleted": True}
    hooks.write()
    assert hooks.world.value("SELECT count(*) FROM webhook_deliveries") == 0
    assert len(receiver.messages) == 4


def test_records_of_a_deleted_webhook_are_deleted_in_batches(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_deliveries, "BATCH", 2)
    webhook = hooks.create(receiver.url)
    hooks.write(4)
    eventually(lambda: len(hooks.deliveries(webhook, "succeeded")) == 5)
    hooks.delete(webhook)
    hooks.world.drain()
    assert hooks.world.value("SELECT count(*) FROM webhook_deliveries") == 0
    batches = "SELECT count(*) FROM mailbox WHERE name = 'webhooks.purge_deliveries'"
    assert hooks.world.value(batches) == 3


def test_old_records_are_purged(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    hooks.write()
    eventually(lambda: len(hooks.deliveries(webhook, "succeeded")) == 2)
    with hooks.world.engine.begin() as connection:
        connection.execute(text("UPDATE webhook_deliveries SET at = at - interval '8 days' WHERE seq = 1"))
    purge_expired(hooks.world.engine, 7)
    assert [each["seq"] for each in hooks.deliveries(webhook, "succeeded")] == [2]
