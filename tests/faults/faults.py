"""The faults: each a sentence, what it breaks, and how that is undone. All of them really happen."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import text

from tests.faults.disks import no_room
from tests.faults.stage import DATABASE, Stage
from tests.faults.thief import Thief
from tests.waiting import eventually
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.messaging.bell import BellSilent, Ring
from weelo_workers.messaging.celery_bell import CeleryBell
from weelo_workers.runtime.embedded import EmbeddedServer

PREFORK = [queue for queue in QUEUES if queue != "notifications"]
DOWN_SECONDS = 30.0
LOCKED_SECONDS = 5.0

Strike = Callable[["Breaking"], str]


@dataclass(frozen=True, slots=True)
class Breaking:
    """What a fault has at hand. `long`: how many seconds something stays broken that can."""

    stage: Stage
    dice: random.Random
    long: float

    def one_of(self, those: list[int]) -> list[int]:
        return [self.dice.choice(those)] if those else []


FAULTS: dict[str, Strike] = {}


def fault(sentence: str) -> Callable[[Strike], Strike]:
    def register(strike: Strike) -> Strike:
        assert sentence not in FAULTS
        FAULTS[sentence] = strike
        return strike

    return register


# --- processes --------------------------------------------------------------------------------------------


@fault("a prefork child is killed")
def kill_a_child(at: Breaking) -> str:
    queue = at.dice.choice(PREFORK)
    _, *children = at.stage.system.pids(queue) or [0]
    return f"{at.stage.send(signal.SIGKILL, at.one_of(children))} of {queue}"


@fault("a worker is killed, parent and children")
def kill_a_worker(at: Breaking) -> str:
    queue = at.dice.choice(QUEUES)
    return f"{at.stage.send(signal.SIGKILL, at.stage.system.pids(queue))} processes of {queue}"


@fault("the API is killed")
def kill_the_api(at: Breaking) -> str:
    pids = at.stage.system.pids("gunicorn")
    doomed = pids if at.dice.random() < 0.5 else at.one_of(pids[1:])
    return f"{at.stage.send(signal.SIGKILL, doomed)} of its processes"


@fault("beat is killed")
def kill_beat(at: Breaking) -> str:
    return f"{at.stage.send(signal.SIGKILL, at.stage.system.pids('beat'))} process"


@fault("all of the supervisor's children are killed at once")
def kill_all(at: Breaking) -> str:
    return f"{at.stage.send(signal.SIGKILL, at.stage.children())} children"


@fault("PostgreSQL is shut down at once")
def shut_down_the_database(at: Breaking) -> str:
    """As `pg_ctl stop -m immediate` does; the supervisor begins it again."""
    with at.stage.without(DATABASE):
        began = time.time()
        at.stage.send(signal.SIGQUIT, _pids(at.stage.postgres))
        eventually(lambda: at.stage.postgres.pid() is None, within=DOWN_SECONDS)
        eventually(at.stage.database_answers, within=DOWN_SECONDS)
    return f"for {time.time() - began:.1f} s"


@fault("Redis is killed")
def kill_redis(at: Breaking) -> str:
    at.stage.valkey.kill()
    return "kill -9"


@fault("a power cut: children and servers are killed at once")
def cut_the_power(at: Breaking) -> str:
    with at.stage.without(DATABASE):
        at.stage.send(signal.SIGKILL, at.stage.children())
        at.stage.valkey.kill()
        at.stage.postgres.kill()
        eventually(at.stage.database_answers, within=DOWN_SECONDS)
    return "all of it"


@fault("a worker is stopped for a while, and goes on")
def stop_a_worker(at: Breaking) -> str:
    queue = at.dice.choice(QUEUES)
    return f"{queue}, {_stopped(at, at.stage.system.pids(queue))}"


@fault("the API is stopped for a while, and goes on")
def stop_the_api(at: Breaking) -> str:
    return _stopped(at, at.one_of(at.stage.system.pids("gunicorn")[1:]))


@fault("beat is stopped for a while, and goes on")
def stop_beat(at: Breaking) -> str:
    return _stopped(at, at.stage.system.pids("beat"))


@fault("Redis is stopped for a while, and goes on")
def stop_redis(at: Breaking) -> str:
    """Worse than dead: it takes connections and answers nobody."""
    return _stopped(at, _pids(at.stage.valkey))


def _stopped(at: Breaking, pids: list[int]) -> str:
    """A stopped process keeps the locks of the transaction in which it was stopped: nobody else can act for these
    requests, until the database ends the transaction."""
    seconds = at.dice.uniform(0.5, 1.0) * at.long
    with ExitStack() as undo:
        undo.enter_context(at.stage.stopped(pids))
        locked = at.stage.locked_by(pids) if at.stage.database_answers() else []
        for broadcast in locked:
            undo.enter_context(at.stage.without(DATABASE, broadcast))
        time.sleep(seconds)
    kept = f", with {len(locked)} requests locked" if locked else ""
    return f"{len(pids)} processes for {seconds:.1f} s{kept}"


@fault("the children are ended gently, one after another")
def restart_by_turns(at: Breaking) -> str:
    """A rolling restart: the next goes when the one before has a successor."""
    leaders = at.stage.children()
    for pid in leaders:
        before = set(at.stage.children())
        at.stage.send(signal.SIGTERM, [pid])
        with suppress(AssertionError, ValueError):
            (heir,) = eventually(lambda: set(at.stage.children()) - before, within=8.0, every=0.1)  # noqa: B023
            eventually(lambda: at.stage.works(heir), within=8.0, every=0.1)  # noqa: B023
    return f"{len(leaders)} children"


# --- the database -----------------------------------------------------------------------------------------


@fault("all connections to PostgreSQL are ended")
def end_connections(at: Breaking) -> str:
    ended = at.stage.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return f"{len(ended)} of them"


@fault("somebody keeps a request's row locked")
def lock_a_row(at: Breaking) -> str:
    newest = at.stage.rows(
        "SELECT id FROM broadcasts WHERE expires_at > clock_timestamp() ORDER BY created_at DESC LIMIT 4"
    )
    if not newest:
        return "there was none"
    broadcast = str(at.dice.choice(newest).id)
    seconds = min(LOCKED_SECONDS, at.long)
    with at.stage.without(DATABASE, broadcast), at.stage.engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM broadcasts WHERE id = :id FOR UPDATE"), {"id": broadcast})
        time.sleep(seconds)
    return f"{broadcast} for {seconds:.0f} s"


@fault("somebody keeps a busy table locked")
def lock_a_table(at: Breaking) -> str:
    table = at.dice.choice(("mailbox", "broadcasts", "log_heads", "offers"))
    seconds = min(LOCKED_SECONDS, at.long)
    with at.stage.without(DATABASE), at.stage.engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE {table} IN EXCLUSIVE MODE"))
        time.sleep(seconds)
    return f"{table} for {seconds:.0f} s"


# --- Redis ------------------------------------------------------------------------------------------------


@fault("Redis is restarted")
def restart_redis(at: Breaking) -> str:
    at.stage.send(signal.SIGTERM, _pids(at.stage.valkey))
    return "SIGTERM"


@fault("Redis is emptied")
def empty_redis(at: Breaking) -> str:
    with at.stage.redis() as redis:
        redis.flushall()
    return "FLUSHALL"


@fault("the disk of Redis is full")
def fill_the_disk_of_redis(at: Breaking) -> str:
    """It answers, and takes nothing that would have to be written down."""
    if why_not := at.stage.redis_disk.why_not:
        return f"not possible here: {why_not}"
    with at.stage.redis_disk.full():
        time.sleep(at.long)
    return f"for {at.long:.0f} s"


@fault("the disk of the log is full, and somebody dies")
def fill_the_disk_of_the_log(at: Breaking) -> str:
    with no_room(at.stage.system.process.pid):
        time.sleep(at.long / 3)
        dead = at.stage.send(signal.SIGKILL, at.one_of(at.stage.children()))
        time.sleep(at.long * 2 / 3)
    return f"for {at.long:.0f} s, {dead} died"


# --- messages ---------------------------------------------------------------------------------------------


@fault("messages are dropped")
def drop_messages(at: Breaking) -> str:
    with Thief(at.stage, QUEUES) as thief:
        time.sleep(at.long)
    return f"{len(thief.loot)} in {at.long:.0f} s"


@fault("each message comes once to five times")
def multiply_messages(at: Breaking) -> str:
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
    return f"{messages} came {copies} times"


@fault("the bell rings once to five times for what is done, under way or to come")
def ring_again(at: Breaking) -> str:
    newest = at.stage.rows("SELECT id, name, queue FROM mailbox ORDER BY position DESC LIMIT 60")
    rings = [Ring(row.id, row.name, row.queue) for row in newest for _ in range(at.dice.randint(1, 5))]
    at.dice.shuffle(rings)
    return f"{_rung(at.stage, rings)} times"


@fault("countdowns come early")
def ring_early(at: Breaking) -> str:
    return f"{_rung(at.stage, [Ring(row.id, row.name, row.queue) for row in _waiting(at.stage)])} of them"


@fault("countdowns come twice")
def ring_twice(at: Breaking) -> str:
    rings = [Ring(row.id, row.name, row.queue, max(0.0, row.left)) for row in _waiting(at.stage)]
    return f"{_rung(at.stage, rings * 2)} more"


@fault("countdowns come late")
def ring_late(at: Breaking) -> str:
    """They are taken away, and put back when their time is over."""
    with Thief(at.stage, ["timers"]) as thief:
        time.sleep(at.long)
    time.sleep(at.long)
    for queue, message in thief.loot:
        with suppress(RedisError):
            thief.put_back(queue, message, 1)
    return f"{len(thief.loot)} by {at.long:.0f} to {2 * at.long:.0f} s"


@fault("a publisher's clock is 90 s off")
def ring_by_a_wrong_clock(at: Breaking) -> str:
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
    return f"{told.stdout.strip() or told.stderr[-300:]} countdowns, {off:+d} s"


def _waiting(stage: Stage) -> list[Any]:
    return stage.rows(
        "SELECT id, name, queue, EXTRACT(EPOCH FROM due_at - clock_timestamp())::float AS left FROM mailbox"
        " WHERE settled_at IS NULL AND queue = 'timers' AND due_at > clock_timestamp() ORDER BY due_at LIMIT 100"
    )


def _rung(stage: Stage, rings: list[Ring]) -> int:
    """By the project's own bell. How many of them reached the broker."""
    bell, heard = _bell(stage), 0
    for ring in rings:
        with suppress(BellSilent):
            bell.ring(ring)
            heard += 1
    return heard


def _bell(stage: Stage) -> CeleryBell:
    bell = CeleryBell()
    bell._celery.conf.broker_url = stage.valkey.url()
    return bell


def _pids(server: EmbeddedServer) -> list[int]:
    pid = server.pid()
    return [pid] if pid else []
