"""One sender at a time posts to a webhook: each line once and in order, and a crashed sender is replaced."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, text

from tests.support.waiting import eventually
from tests.support.webhook_receiver import Message, WebhookReceiver
from tests.webhooks.hooks import Hooks
from weelo_workers.contracts.fleet import RegisterDevice
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import engine
from weelo_workers.webhooks import leases, sending


def test_HOOK_01_two_senders_post_each_line_once_and_in_order(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deliveries alternate between two senders, and come faster than the slow receiver answers."""
    senders = [sending.Sender(), sending.Sender()]
    turns = iter(range(10_000))
    monkeypatch.setattr(sending, "sender", lambda: senders[next(turns) % 2])
    receiver.seconds = 0.05
    hooks.create(receiver.url)
    for _ in range(40):
        hooks.write()
    eventually(lambda: len(receiver.messages) >= 41, within=30)
    eventually(lambda: receiver.seqs() == hooks.log())
    assert receiver.most_at_once == 1
    assert len(hooks.log()) == 41


def test_of_many_at_once_one_takes_the_lease(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)

    def take() -> bool:
        token = uuid4()
        with engine().begin() as connection:
            lease = leases.take(connection, webhook, token)
        return lease is not None and lease.token == token

    assert hooks.world.race(*[take] * 8).count(True) == 1


def test_a_sender_that_has_lost_its_lease_records_nothing(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    old, new = uuid4(), uuid4()
    with engine().begin() as connection:
        assert leases.take(connection, webhook, old) is not None
    hooks.end_leases()
    with engine().begin() as connection:
        lease = leases.take(connection, webhook, new)
        assert lease is not None and lease.token == new
        line = leases.Line(1, {"id": str(uuid4()), "event": "command_settled"})
        work = leases.Work(receiver.url, ["*"], (1,), 0)
        assert not leases.record_success(connection, webhook, old, work, line, 200)
        assert not leases.extend(connection, webhook, old, work)
        assert leases.next_work(connection, webhook, old) is None
        leases.release(connection, webhook, old)
        leases.skip(connection, webhook, old, 9)
    row = hooks.row(webhook)
    assert (row.delivered_seq, row.lease_token) == (0, new)
    assert hooks.deliveries(webhook, "succeeded") == []


def test_HOOK_01_a_crash_between_post_and_record_posts_the_line_again_with_the_same_id(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender crashes after its post. The command that is due at the end of the lease continues the delivery."""
    webhook = hooks.create(receiver.url)
    crashed = threading.Event()
    record = leases.record_success

    def crash(*_: object) -> bool:
        crashed.set()
        raise RuntimeError("the process ends here")

    monkeypatch.setattr(leases, "record_success", crash)
    hooks.world.drain()
    assert crashed.wait(10)
    monkeypatch.setattr(leases, "record_success", record)
    hooks.world.drain()
    assert receiver.seqs() == [1]
    hooks.end_leases()
    hooks.shift(21)
    hooks.wait_until_delivered(webhook, 1)
    assert receiver.seqs() == [1, 1]
    first, second = receiver.messages
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_the_check_of_a_lease_repeats_itself_while_its_holder_is_at_work(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "start", lambda *_: None)
    webhook = hooks.create(receiver.url)
    hooks.world.drain()
    token = hooks.row(webhook).lease_token
    checks = "SELECT count(*) FROM mailbox WHERE payload->>'lease' = :token AND settled_at IS NULL"
    assert hooks.world.value(checks, token=str(token)) == 1
    hooks.world.tick(25)
    assert hooks.row(webhook).lease_token == token
    assert hooks.world.value(checks, token=str(token)) == 1


def test_a_released_lease_leaves_no_command_behind(hooks: Hooks, receiver: WebhookReceiver) -> None:
    webhook = hooks.create(receiver.url)
    hooks.wait_until_delivered(webhook, 1)
    waiting = "SELECT count(*) FROM mailbox WHERE settled_at IS NULL AND payload ? 'lease' AND payload->>'lease' IS NOT NULL"
    eventually(lambda: hooks.world.value(waiting) == 0)


def test_a_line_written_while_the_lease_is_released_is_posted(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line is committed after the sender has looked for lines, and before the sender releases the lease."""
    webhook = hooks.create(receiver.url)
    hooks.wait_until_delivered(webhook, 1)
    release, written = leases.release, threading.Event()
    delivered = []

    def write_first(*arguments: Any) -> None:
        if not written.is_set():
            written.set()
            writer = threading.Thread(target=hooks.write)
            writer.start()
            delivered.append(writer)
            # At this moment the line is committed, and its delivery waits for the row that this transaction has locked.
            eventually(partial(_waits_for_the_row, hooks))
        release(*arguments)

    monkeypatch.setattr(leases, "release", write_first)
    hooks.write()
    eventually(lambda: delivered and not delivered[0].is_alive())
    eventually(lambda: receiver.seqs() == [1, 2, 3])


def _waits_for_the_row(hooks: Hooks) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE webhooks%'"
    return bool(hooks.world.value(waiting))


def test_many_lines_need_one_delivery_as_long_as_none_has_begun(
    hooks: Hooks, receiver: WebhookReceiver
) -> None:
    webhook = hooks.create(receiver.url)
    hooks.wait_until_delivered(webhook, 1)
    for number in range(10):
        command = RegisterDevice(user_id=hooks.user, token=f"token {number}", platform="ios")
        hooks.world.execute(command, hooks.user, Role.CUSTOMER)
    waiting = "SELECT count(*) FROM mailbox WHERE name = 'webhooks.deliver' AND settled_at IS NULL AND due_at <= now()"
    assert hooks.world.value(waiting) == 1
    hooks.wait_until_delivered(webhook, 11)
    assert receiver.seqs() == hooks.log()


def test_a_user_without_webhooks_costs_no_further_statement(hooks: Hooks) -> None:
    statements: list[str] = []

    def note(_: object, __: object, ___: str, ____: object, context: Any, _____: bool) -> None:
        # For a prepared statement, the argument `statement` contains only EXECUTE. The context contains the SQL.
        statements.append(context.statement)

    event.listen(hooks.world.engine, "after_cursor_execute", note)
    try:
        hooks.write()
    finally:
        event.remove(hooks.world.engine, "after_cursor_execute", note)
    # The statement that writes the lines also finds the user's webhooks. No other statement reads this table.
    assert len([each for each in statements if "webhooks" in each]) == 1


def test_a_sender_that_has_waited_for_its_turn_extends_its_lease_or_posts_nothing(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another sender takes the lease while this one waits because too many posts are under way."""
    monkeypatch.setattr(sending, "EXTEND_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(sending, "MOST_POSTS_AT_ONCE", 1)
    first = sending.Sender()
    monkeypatch.setattr(sending, "sender", lambda: first)
    receiver.seconds = 1.0
    busy, waiting = Hooks(hooks.world), hooks
    busy.create(receiver.url + "/busy")
    webhook = waiting.create(receiver.url)
    hooks.world.drain()
    eventually(lambda: receiver.seqs("/hook/busy") == [1])
    token = uuid4()
    with engine().begin() as connection:
        connection.execute(text("UPDATE webhooks SET lease_token = :token"), {"token": token})
    eventually(lambda: receiver.at_once == 0)
    eventually(lambda: first._places._value == 1 and not first._tasks)
    assert receiver.seqs() == []
    assert hooks.row(webhook).lease_token == token


def test_HOOK_01_a_lease_that_was_read_slowly_is_extended_before_a_post(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines arrive long after the statement that extended the lease, so the sender extends it again before it posts."""
    monkeypatch.setattr(sending, "EXTEND_AFTER_SECONDS", 0.2)
    happened: list[str] = []
    next_work, extend = leases.next_work, leases.extend

    def read_slowly(*arguments: Any) -> leases.Work | None:
        work = next_work(*arguments)
        time.sleep(0.5)
        return work

    def note(*arguments: Any) -> bool:
        happened.append("extended")
        return extend(*arguments)

    def answer(_: Message) -> int:
        happened.append("posted")
        return 200

    monkeypatch.setattr(leases, "next_work", read_slowly)
    monkeypatch.setattr(leases, "extend", note)
    receiver.answer = answer
    webhook = hooks.create(receiver.url)
    hooks.wait_until_delivered(webhook, 1)
    assert happened == ["extended", "posted"]


def test_no_post_begins_that_would_last_longer_than_the_lease(
    hooks: Hooks, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender extends its lease until an extension is fast, and posts only then.

    The first two extensions take so long that the lease could end during the attempt to post. The third one is fast.
    """
    monkeypatch.setattr(sending, "EXTEND_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(sending, "LATEST_START_SECONDS", 0.2)
    extend, slow = leases.extend, [True, True, False]

    def extend_slowly(*arguments: Any) -> bool:
        is_mine = extend(*arguments)
        if slow.pop(0) if slow else False:
            time.sleep(0.4)
            assert receiver.messages == []
        return is_mine

    monkeypatch.setattr(leases, "extend", extend_slowly)
    webhook = hooks.create(receiver.url)
    hooks.wait_until_delivered(webhook, 1)
    assert slow == []
    assert receiver.seqs() == [1]
