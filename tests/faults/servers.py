"""Faults of PostgreSQL and Redis: killed, stopped, emptied, locked, disconnected, with full disks."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from psutil import Process
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.faults.fault_system import DATABASE, FaultSystem
from tests.faults.registry import Effect, FaultContext, NotPossibleHere, fault
from tests.support.disks import SmallDisk
from tests.support.waiting import eventually
from weelo_workers.runtime.embedded import EmbeddedServer

DOWN_SECONDS = 30.0
LOCKED_SECONDS = 5.0
WAITED_FOR_SECONDS = 12.0
"""If no other connection waits for a lock after LOCKED_SECONDS, the lock is kept for up to this many seconds more."""


@fault("a power cut: children and servers are killed at once")
def cut_the_power(at: FaultContext) -> Effect:
    with at.fault_system.outage_of(DATABASE):
        servers = len(_pids(at.fault_system.postgres) + _pids(at.fault_system.valkey))
        dead = at.fault_system.send(signal.SIGKILL, at.fault_system.children())
        at.fault_system.valkey.kill()
        at.fault_system.postgres.kill()
        eventually(at.fault_system.database_answers, within=DOWN_SECONDS)
    return Effect(dead * (servers == 2), f"{dead} children and {servers} servers")


# --- PostgreSQL -------------------------------------------------------------------------------------------


@fault("PostgreSQL is shut down immediately")
def shut_down_the_database(at: FaultContext) -> Effect:
    """Shut PostgreSQL down as `pg_ctl stop -m immediate` does, and wait until the supervisor has restarted it."""
    with at.fault_system.outage_of(DATABASE):
        began, running = time.time(), _pids(at.fault_system.postgres)
        ended = at.fault_system.send(signal.SIGQUIT, running)
        eventually(lambda: _pids(at.fault_system.postgres) != running, within=DOWN_SECONDS)
        eventually(at.fault_system.database_answers, within=DOWN_SECONDS)
    return Effect(ended, f"for {time.time() - began:.1f} s")


@fault("PostgreSQL is stopped for a while, then continued")
def stop_the_database(at: FaultContext) -> Effect:
    """Suspend all of PostgreSQL's processes, the postmaster first so that it starts no new backend."""
    with at.fault_system.outage_of(DATABASE):
        postmaster = _pids(at.fault_system.postgres)
        with at.fault_system.stopped(postmaster):
            backends = [each.pid for pid in postmaster for each in Process(pid).children()]
            with at.fault_system.stopped(backends):
                still = at.fault_system.pause_processes(postmaster + backends, at.long)
        eventually(at.fault_system.database_answers, within=DOWN_SECONDS)
    return Effect(still, f"{still} processes for {at.long:.0f} s")


@fault("all connections to PostgreSQL are ended")
def end_connections(at: FaultContext) -> Effect:
    ended = at.fault_system.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return Effect(len(ended), f"{len(ended)} of them")


@fault("another transaction keeps a request's row locked")
def lock_a_row(at: FaultContext) -> Effect:
    """Lock the row of a broadcast whose next timer is due soon."""
    soon = at.fault_system.rows(
        "SELECT payload->>'broadcast_id' AS id FROM mailbox WHERE queue = 'timers' AND settled_at IS NULL"
        "   AND payload ? 'broadcast_id' AND due_at BETWEEN clock_timestamp() + interval '0.5 s'"
        "   AND clock_timestamp() + interval '12 s' ORDER BY due_at LIMIT 1"
    )
    if not soon:
        return Effect(0, "no timer was due soon")
    broadcast = soon[0].id
    with at.fault_system.outage_of(DATABASE, broadcast):
        waiting = _locked(at.fault_system, f"SELECT 1 FROM broadcasts WHERE id = '{broadcast}' FOR UPDATE")
    return Effect(waiting, f"{broadcast}, {waiting} waited for it")


@fault("another transaction keeps a busy table locked")
def lock_a_table(at: FaultContext) -> Effect:
    table = at.dice.choice(("mailbox", "broadcasts", "log_heads", "offers"))
    with at.fault_system.outage_of(DATABASE):
        waiting = _locked(at.fault_system, f"LOCK TABLE {table} IN EXCLUSIVE MODE")
    return Effect(waiting, f"{table}, {waiting} waited for it")


def _locked(fault_system: FaultSystem, statement: str) -> int:
    """Execute the statement, and hold its lock for LOCKED_SECONDS. Return how many connections wait for the lock then.

    If none waits, hold the lock for up to WAITED_FOR_SECONDS more, until one waits. Return 0 if none does.
    """
    with fault_system.engine.begin() as connection:
        me = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.execute(text(statement))
        time.sleep(LOCKED_SECONDS)
        last = time.monotonic() + WAITED_FOR_SECONDS
        while True:
            waiting = fault_system.rows(
                "SELECT pid FROM pg_stat_activity WHERE :me = ANY(pg_blocking_pids(pid))", me=me
            )
            if waiting or time.monotonic() > last:
                return len(waiting)
            time.sleep(0.2)


@fault("the disk of PostgreSQL is full")
def fill_the_disk_of_the_database(at: FaultContext) -> Effect:
    """Fill the disk of PostgreSQL. In the first half of the fault's time, no table can grow.

    In the second half the write-ahead log cannot grow either, so PostgreSQL stops and cannot start again.
    """
    last_half = time.monotonic() + at.long / 2

    def takes_nothing() -> bool:
        if not at.fault_system.database_has_no_room():
            return False
        if time.monotonic() > last_half:
            with suppress(DBAPIError):
                at.fault_system.rows("SELECT pg_switch_wal()")
        return True

    with at.fault_system.outage_of(DATABASE):
        effect = _full(at, at.fault_system.database_disk, takes_nothing)
        eventually(at.fault_system.database_answers, within=DOWN_SECONDS)
    return effect


# --- Redis ------------------------------------------------------------------------------------------------


@fault("Redis is killed")
def kill_redis(at: FaultContext) -> Effect:
    running = _pids(at.fault_system.valkey)
    at.fault_system.valkey.kill()
    return Effect(len(running), "kill -9")


@fault("Redis is restarted")
def restart_redis(at: FaultContext) -> Effect:
    return Effect(at.fault_system.send(signal.SIGTERM, _pids(at.fault_system.valkey)), "SIGTERM")


@fault("Redis is stopped for a while, then continued")
def stop_redis(at: FaultContext) -> Effect:
    """Suspend Redis. It accepts connections and does not answer, so clients wait until their time-outs."""
    running = _pids(at.fault_system.valkey)
    with at.fault_system.stopped(running):
        still = at.fault_system.pause_processes(running, at.long)
    return Effect(still, f"for {at.long:.0f} s")


@fault("Redis is emptied")
def empty_redis(at: FaultContext) -> Effect:
    with at.fault_system.redis() as redis:
        keys = cast(int, redis.dbsize())
        redis.flushall()
    return Effect(keys, f"of {keys} keys")


@fault("the disk of Redis is full")
def fill_the_disk_of_redis(at: FaultContext) -> Effect:
    """Fill the disk of Redis. It then answers, and refuses all writes."""
    return _full(at, at.fault_system.redis_disk, at.fault_system.redis_takes_nothing)


def _full(at: FaultContext, disk: SmallDisk, refuses: Callable[[], bool]) -> Effect:
    if disk.why_not:
        raise NotPossibleHere(disk.why_not)
    asked = refused = 0
    with disk.full():
        until = time.monotonic() + at.long
        while time.monotonic() < until:
            asked, refused = asked + 1, refused + refuses()
            time.sleep(0.2)
    return Effect(refused, f"for {at.long:.0f} s, {refused} of {asked} attempts were refused")


def _pids(server: EmbeddedServer) -> list[int]:
    pid = server.pid()
    return [pid] if pid else []
