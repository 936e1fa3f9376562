"""Faults of messages and countdowns: lost, multiplied, early, late, twice, by a wrong clock."""

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

from tests.faults.breaking import Breaking, Effect, fault
from tests.faults.stage import Stage
from tests.faults.thief import Thief
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.messaging.bell import BellSilent, Ring
from weelo_workers.messaging.celery_bell import CeleryBell


@fault("messages are dropped")
def drop_messages(at: Breaking) -> Effect:
    with Thief(at.stage, QUEUES) as thief:
        time.sleep(at.long)
    return Effect(len(thief.loot), f"{len(thief.loot)} in {at.long:.0f} s")


@fault("each message comes once to five times")
def multiply_messages(at: Breaking) -> Effect:
    """For a moment they are held back; then all copies come at once."""
    messages = copies = 0
    until = time.monotonic() + at.long
    while time.monotonic() < until:
        with Thief(at.stage, QUEUES) as thief:
            time.sleep(0.3)
        for queue, message in thief.loot:
            count = at.dice.randint(1, 5)
            thief.put_back(queue, message, count)
            messages, copies = messages + 1, copies + count
        time.sleep(0.3)
    return Effect(copies - messages, f"{messages} came {copies} times")


@fault("the bell rings once to five times for what is done, under way or to come")
def ring_again(at: Breaking) -> Effect:
    newest = at.stage.rows("SELECT id, name, queue FROM mailbox ORDER BY position DESC LIMIT 60")
    rings = [Ring(row.id, row.name, row.queue) for row in newest for _ in range(at.dice.randint(1, 5))]
    at.dice.shuffle(rings)
    return _rung(at.stage, rings)


@fault("countdowns come early")
def ring_early(at: Breaking) -> Effect:
    return _rung(at.stage, [Ring(row.id, row.name, row.queue) for row in _waiting(at.stage)])


@fault("countdowns come twice")
def ring_twice(at: Breaking) -> Effect:
    rings = [Ring(row.id, row.name, row.queue, max(0.0, row.left)) for row in _waiting(at.stage)]
    return _rung(at.stage, rings * 2)


@fault("countdowns come late")
def ring_late(at: Breaking) -> Effect:
    """They are taken away, and put back when their time is over."""
    with Thief(at.stage, ["timers"]) as thief:
        time.sleep(at.long)
    time.sleep(at.long)
    back = 0
    for queue, message in thief.loot:
        with suppress(RedisError):
            thief.put_back(queue, message, 1)
            back += 1
    return Effect(back, f"{back} by {at.long:.0f} to {2 * at.long:.0f} s")


@fault("a publisher's clock is 90 s off")
def ring_by_a_wrong_clock(at: Breaking) -> Effect:
    """Countdowns are taken away, and published again by a process whose clock is wrong."""
    off = at.dice.choice((-90, 90))
    with Thief(at.stage, ["timers"]) as thief:
        time.sleep(at.long)
    ids = [json.loads(base64.b64decode(json.loads(message)["body"]))[0][0] for _, message in thief.loot]
    told = subprocess.run(
        [sys.executable, "-m", "tests.faults.wrong_clock", str(off), *ids],
        env={
            **os.environ,
            "REDIS_URL": at.stage.valkey.url(),
            "DATABASE_URL": at.stage.postgres.url("weelo"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if told.returncode:
        return Effect(0, told.stderr[-300:])
    return Effect(int(told.stdout), f"{told.stdout.strip()} countdowns, {off:+d} s")


def _waiting(stage: Stage) -> list[Any]:
    return stage.rows(
        "SELECT id, name, queue, EXTRACT(EPOCH FROM due_at - clock_timestamp())::float AS left FROM mailbox"
        " WHERE settled_at IS NULL AND queue = 'timers' AND due_at > clock_timestamp() ORDER BY due_at LIMIT 100"
    )


def _rung(stage: Stage, rings: list[Ring]) -> Effect:
    """By the project's own bell; only those count that reached the broker."""
    bell, heard = CeleryBell(), 0
    bell._celery.conf.broker_url = stage.valkey.url()
    for ring in rings:
        with suppress(BellSilent):
            bell.ring(ring)
            heard += 1
    return Effect(heard, f"{heard} more")
