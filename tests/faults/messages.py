"""Faults of messages and countdowns: lost, duplicated, early, late, repeated, or published with a wrong clock."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from tests.faults.fault_system import FaultSystem
from tests.faults.message_stealer import MessageStealer
from tests.faults.registry import Effect, FaultContext, fault
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.messaging.celery_waker import CeleryWaker
from weelo_workers.messaging.wakeup import BrokerUnavailable, WakeUp


@fault("messages are dropped")
def drop_messages(at: FaultContext) -> Effect:
    with MessageStealer(at.fault_system, QUEUES) as stealer:
        time.sleep(at.long)
    return Effect(len(stealer.loot), f"{len(stealer.loot)} in {at.long:.0f} s")


@fault("each message is delivered one to five times")
def multiply_messages(at: FaultContext) -> Effect:
    """Hold messages back for a moment, then push several copies of each together."""
    messages = copies = 0
    until = time.monotonic() + at.long
    while time.monotonic() < until:
        with MessageStealer(at.fault_system, QUEUES) as stealer:
            time.sleep(0.3)
        for queue, message in stealer.loot:
            count = at.dice.randint(1, 5)
            stealer.put_back(queue, message, count)
            messages, copies = messages + 1, copies + count
        time.sleep(0.3)
    return Effect(copies - messages, f"{messages} messages in {copies} copies")


@fault("one to five wake-ups are sent for commands that are settled, running or not yet due")
def ring_again(at: FaultContext) -> Effect:
    newest = at.fault_system.rows("SELECT id, name, queue FROM mailbox ORDER BY received_at DESC LIMIT 60")
    wake_ups = [WakeUp(row.id, row.name, row.queue) for row in newest for _ in range(at.dice.randint(1, 5))]
    at.dice.shuffle(wake_ups)
    return _rung(at.fault_system, wake_ups)


@fault("countdowns arrive early")
def ring_early(at: FaultContext) -> Effect:
    return _rung(at.fault_system, [WakeUp(row.id, row.name, row.queue) for row in _waiting(at.fault_system)])


@fault("countdowns arrive twice")
def ring_twice(at: FaultContext) -> Effect:
    wake_ups = [WakeUp(row.id, row.name, row.queue, max(0.0, row.left)) for row in _waiting(at.fault_system)]
    return _rung(at.fault_system, wake_ups * 2)


@fault("countdowns arrive late")
def ring_late(at: FaultContext) -> Effect:
    """Remove the messages of countdowns, and put them back after the countdowns have ended."""
    with MessageStealer(at.fault_system, ["timers"]) as stealer:
        time.sleep(at.long)
    time.sleep(at.long)
    back = 0
    for queue, message in stealer.loot:
        with suppress(RedisError):
            stealer.put_back(queue, message, 1)
            back += 1
    return Effect(back, f"{back} by {at.long:.0f} to {2 * at.long:.0f} s")


@fault("a publisher's clock is 90 s off")
def ring_by_a_wrong_clock(at: FaultContext) -> Effect:
    """Remove the messages of countdowns, and publish them again from a process whose clock is wrong."""
    off = at.dice.choice((-90, 90))
    with MessageStealer(at.fault_system, ["timers"]) as stealer:
        time.sleep(at.long)
    ids = [json.loads(base64.b64decode(json.loads(message)["body"]))[0][0] for _, message in stealer.loot]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.wrong_clock", str(off), *ids],
        env={
            **os.environ,
            "REDIS_URL": at.fault_system.valkey.url(),
            "DATABASE_URL": at.fault_system.postgres.url("weelo"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        return Effect(0, done.stderr[-300:])
    return Effect(int(done.stdout), f"{done.stdout.strip()} countdowns, {off:+d} s")


def _waiting(fault_system: FaultSystem) -> list[Any]:
    return fault_system.rows(
        "SELECT id, name, queue, EXTRACT(EPOCH FROM due_at - clock_timestamp())::float AS left FROM mailbox"
        " WHERE settled_at IS NULL AND queue = 'timers' AND due_at > clock_timestamp() ORDER BY due_at LIMIT 100"
    )


def _rung(fault_system: FaultSystem, wake_ups: list[WakeUp]) -> Effect:
    """Send these wake-ups with the product's waker, and count those that reached the broker."""
    waker, sent = CeleryWaker(), 0
    waker._celery.conf.broker_url = fault_system.valkey.url()
    for wake_up in wake_ups:
        with suppress(BrokerUnavailable):
            waker.wake(wake_up)
            sent += 1
    return Effect(sent, f"{sent} more")
