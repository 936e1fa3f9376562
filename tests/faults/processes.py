"""Faults of our own processes: killed, stopped, restarted one after another, without disk space for the log."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, suppress
from functools import partial

from tests.faults.fault_system import DATABASE, FaultSystem
from tests.faults.registry import Effect, FaultContext, fault
from tests.support.disks import no_room
from tests.support.waiting import eventually
from weelo_workers.contracts.queues import QUEUES

PREFORK = [queue for queue in QUEUES if queue not in ("notifications", "webhooks")]
WORKER_STOPPED_SECONDS = 10.0
"""This is longer than a request stays open, also in the short form of the test."""


@fault("a prefork child is killed")
def kill_a_child(at: FaultContext) -> Effect:
    queue = at.dice.choice(PREFORK)
    parent = at.fault_system.leader(queue)
    children = [pid for pid in at.fault_system.system.pids(queue) if pid != parent]
    return _killed(at, at.one_of(children), f"of {queue}")


@fault("a worker's parent is killed without its children")
def kill_a_parent(at: FaultContext) -> Effect:
    queue = at.dice.choice(PREFORK)
    parent = at.fault_system.leader(queue)
    return _killed(at, [parent] if parent else [], f"of {queue}")


@fault("a worker is killed, parent and children")
def kill_a_worker(at: FaultContext) -> Effect:
    queue = at.dice.choice(QUEUES)
    return _killed(at, at.fault_system.system.pids(queue), f"processes of {queue}")


@fault("the API is killed")
def kill_the_api(at: FaultContext) -> Effect:
    pids = at.fault_system.system.pids("gunicorn")
    doomed = pids if at.dice.random() < 0.5 else at.one_of(pids[1:])
    return _killed(at, doomed, "of its processes")


@fault("beat is killed")
def kill_beat(at: FaultContext) -> Effect:
    return _killed(at, at.fault_system.system.pids("beat"), "process")


@fault("all of the supervisor's children are killed at once")
def kill_all(at: FaultContext) -> Effect:
    return _killed(at, at.fault_system.children(), "children")


def _killed(at: FaultContext, pids: list[int], whose: str) -> Effect:
    dead = at.fault_system.send(signal.SIGKILL, pids)
    return Effect(dead, f"{dead} {whose}")


@fault("a worker is stopped for a while, then continued")
def stop_a_worker(at: FaultContext) -> Effect:
    queue = at.dice.choice(QUEUES)
    return _stopped(at, at.fault_system.system.pids(queue), WORKER_STOPPED_SECONDS, f" of {queue}")


@fault("the API is stopped for a while, then continued")
def stop_the_api(at: FaultContext) -> Effect:
    return _stopped(at, at.one_of(at.fault_system.system.pids("gunicorn")[1:]), at.long)


@fault("beat is stopped for a while, then continued")
def stop_beat(at: FaultContext) -> Effect:
    return _stopped(at, at.fault_system.system.pids("beat"), at.long)


def _stopped(at: FaultContext, pids: list[int], seconds: float, whose: str = "") -> Effect:
    """Suspend these processes for `seconds`.

    Requests whose rows they may have locked are blocked until the processes go on, or the database ends the
    transactions. So an outage of each of these requests is recorded.
    """
    with ExitStack() as undo:
        undo.enter_context(at.fault_system.stopped(pids))
        locked = at.fault_system.locked_by(pids) if at.fault_system.database_answers() else []
        for broadcast in locked:
            undo.enter_context(at.fault_system.outage_of(DATABASE, broadcast))
        still = at.fault_system.pause_processes(pids, seconds)
    locks = f", with {len(locked)} requests locked" if locked else ""
    return Effect(still, f"{still} processes{whose} for {seconds:.0f} s{locks}")


@fault("the children are terminated gracefully, one after another")
def restart_by_turns(at: FaultContext) -> Effect:
    """Restart all child processes one by one: each is terminated after the previous one has a successor."""
    heirs = 0
    for program in (*QUEUES, "beat", "gunicorn"):
        before = at.fault_system.leader(program)
        if before is not None and at.fault_system.send(signal.SIGTERM, [before]):
            with suppress(AssertionError):
                heir = eventually(partial(_heir, at.fault_system, program, before), within=10.0, every=0.1)
                heirs += 1
                eventually(partial(at.fault_system.works, heir), within=3.0, every=0.1)
    return Effect(heirs, f"{heirs} children were replaced")


def _heir(fault_system: FaultSystem, program: str, before: int) -> int:
    """Return the pid of the successor of the child `before`, 0 if there is none yet."""
    leader = fault_system.leader(program) or 0
    return leader if leader != before else 0


@fault("the disk of the log file is full, and a child is killed")
def fill_the_disk_of_the_log(at: FaultContext) -> Effect:
    with no_room(at.fault_system.system.process.pid):
        size = at.fault_system.log.stat().st_size
        time.sleep(at.long / 3)
        dead = at.fault_system.send(signal.SIGKILL, at.one_of(at.fault_system.children()))
        time.sleep(at.long * 2 / 3)
        log_is_full = at.fault_system.log.stat().st_size == size
    return Effect(
        dead * log_is_full,
        f"for {at.long:.0f} s, {dead} killed" + (", not logged" if log_is_full else ", but logged"),
    )
