"""Faults of our own processes: killed, stopped, ended one after another, without a disk for what they say."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, suppress
from functools import partial

from tests.faults.breaking import Breaking, Effect, fault
from tests.faults.disks import no_room
from tests.faults.stage import DATABASE, Stage
from tests.waiting import eventually
from weelo_workers.contracts.queues import QUEUES

PREFORK = [queue for queue in QUEUES if queue != "notifications"]
WORKER_STOPPED_SECONDS = 10.0
"""Also in the short form: longer than a request lives there."""


@fault("a prefork child is killed")
def kill_a_child(at: Breaking) -> Effect:
    queue = at.dice.choice(PREFORK)
    parent = at.stage.leader(queue)
    children = [pid for pid in at.stage.system.pids(queue) if pid != parent]
    return _killed(at, at.one_of(children), f"of {queue}")


@fault("a worker's parent is killed, and not its children")
def kill_a_parent(at: Breaking) -> Effect:
    queue = at.dice.choice(PREFORK)
    parent = at.stage.leader(queue)
    return _killed(at, [parent] if parent else [], f"of {queue}")


@fault("a worker is killed, parent and children")
def kill_a_worker(at: Breaking) -> Effect:
    queue = at.dice.choice(QUEUES)
    return _killed(at, at.stage.system.pids(queue), f"processes of {queue}")


@fault("the API is killed")
def kill_the_api(at: Breaking) -> Effect:
    pids = at.stage.system.pids("gunicorn")
    doomed = pids if at.dice.random() < 0.5 else at.one_of(pids[1:])
    return _killed(at, doomed, "of its processes")


@fault("beat is killed")
def kill_beat(at: Breaking) -> Effect:
    return _killed(at, at.stage.system.pids("beat"), "process")


@fault("all of the supervisor's children are killed at once")
def kill_all(at: Breaking) -> Effect:
    return _killed(at, at.stage.children(), "children")


def _killed(at: Breaking, pids: list[int], whose: str) -> Effect:
    dead = at.stage.send(signal.SIGKILL, pids)
    return Effect(dead, f"{dead} {whose}")


@fault("a worker is stopped for a while, and goes on")
def stop_a_worker(at: Breaking) -> Effect:
    queue = at.dice.choice(QUEUES)
    return _stopped(at, at.stage.system.pids(queue), WORKER_STOPPED_SECONDS, f" of {queue}")


@fault("the API is stopped for a while, and goes on")
def stop_the_api(at: Breaking) -> Effect:
    return _stopped(at, at.one_of(at.stage.system.pids("gunicorn")[1:]), at.long)


@fault("beat is stopped for a while, and goes on")
def stop_beat(at: Breaking) -> Effect:
    return _stopped(at, at.stage.system.pids("beat"), at.long)


def _stopped(at: Breaking, pids: list[int], seconds: float, whose: str = "") -> Effect:
    """A stopped process keeps the locks of the transaction in which it was stopped: nobody else can act for these
    requests, until the database ends the transaction."""
    with ExitStack() as undo:
        undo.enter_context(at.stage.stopped(pids))
        locked = at.stage.locked_by(pids) if at.stage.database_answers() else []
        for broadcast in locked:
            undo.enter_context(at.stage.without(DATABASE, broadcast))
        still = at.stage.stand_still(pids, seconds)
    kept = f", with {len(locked)} requests locked" if locked else ""
    return Effect(still, f"{still} processes{whose} for {seconds:.0f} s{kept}")


@fault("the children are ended gently, one after another")
def restart_by_turns(at: Breaking) -> Effect:
    """A rolling restart: the next goes when the one before has a successor."""
    heirs = 0
    for program in (*QUEUES, "beat", "gunicorn"):
        before = at.stage.leader(program)
        if before is not None and at.stage.send(signal.SIGTERM, [before]):
            with suppress(AssertionError):
                heir = eventually(partial(_heir, at.stage, program, before), within=10.0, every=0.1)
                heirs += 1
                eventually(partial(at.stage.works, heir), within=3.0, every=0.1)
    return Effect(heirs, f"{heirs} children have had a successor")


def _heir(stage: Stage, program: str, before: int) -> int:
    """0: not yet."""
    leader = stage.leader(program) or 0
    return leader if leader != before else 0


@fault("the disk of the log file is full, and somebody dies")
def fill_the_disk_of_the_log(at: Breaking) -> Effect:
    with no_room(at.stage.system.process.pid):
        size = at.stage.log.stat().st_size
        time.sleep(at.long / 3)
        dead = at.stage.send(signal.SIGKILL, at.one_of(at.stage.children()))
        time.sleep(at.long * 2 / 3)
        silent = at.stage.log.stat().st_size == size
    return Effect(
        dead * silent,
        f"for {at.long:.0f} s, {dead} died" + (", unheard" if silent else ", and it was written"),
    )
