"""Faults of PostgreSQL and Redis: dead, stopped, emptied, locked, cut off, without room on their disks."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from psutil import Process
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.faults.breaking import Breaking, Effect, NotHere, fault
from tests.faults.disks import SmallDisk
from tests.faults.stage import DATABASE, Stage
from tests.waiting import eventually
from weelo_workers.runtime.embedded import EmbeddedServer

DOWN_SECONDS = 30.0
LOCKED_SECONDS = 5.0
WAITED_FOR_SECONDS = 12.0
"""For so long a lock is kept beyond that if no other connection waits for it yet."""


@fault("a power cut: children and servers are killed at once")
def cut_the_power(at: Breaking) -> Effect:
    with at.stage.without(DATABASE):
        servers = len(_pids(at.stage.postgres) + _pids(at.stage.valkey))
        dead = at.stage.send(signal.SIGKILL, at.stage.children())
        at.stage.valkey.kill()
        at.stage.postgres.kill()
        eventually(at.stage.database_answers, within=DOWN_SECONDS)
    return Effect(dead * (servers == 2), f"{dead} children and {servers} servers")


# --- PostgreSQL -------------------------------------------------------------------------------------------


@fault("PostgreSQL is shut down at once")
def shut_down_the_database(at: Breaking) -> Effect:
    """As `pg_ctl stop -m immediate` does; the supervisor begins it again."""
    with at.stage.without(DATABASE):
        began, running = time.time(), _pids(at.stage.postgres)
        ended = at.stage.send(signal.SIGQUIT, running)
        eventually(lambda: _pids(at.stage.postgres) != running, within=DOWN_SECONDS)
        eventually(at.stage.database_answers, within=DOWN_SECONDS)
    return Effect(ended, f"for {time.time() - began:.1f} s")


@fault("PostgreSQL is stopped for a while, and goes on")
def stop_the_database(at: Breaking) -> Effect:
    """All of it. The postmaster first, so that nobody new begins."""
    with at.stage.without(DATABASE):
        postmaster = _pids(at.stage.postgres)
        with at.stage.stopped(postmaster):
            backends = [each.pid for pid in postmaster for each in Process(pid).children()]
            with at.stage.stopped(backends):
                still = at.stage.stand_still(postmaster + backends, at.long)
        eventually(at.stage.database_answers, within=DOWN_SECONDS)
    return Effect(still, f"{still} processes for {at.long:.0f} s")


@fault("all connections to PostgreSQL are ended")
def end_connections(at: Breaking) -> Effect:
    ended = at.stage.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return Effect(len(ended), f"{len(ended)} of them")


@fault("somebody keeps a request's row locked")
def lock_a_row(at: Breaking) -> Effect:
    """Lock the row of a broadcast whose next timer is due soon."""
    soon = at.stage.rows(
        "SELECT payload->>'broadcast_id' AS id FROM mailbox WHERE queue = 'timers' AND settled_at IS NULL"
        "   AND payload ? 'broadcast_id' AND due_at BETWEEN clock_timestamp() + interval '0.5 s'"
        "   AND clock_timestamp() + interval '12 s' ORDER BY due_at LIMIT 1"
    )
    if not soon:
        return Effect(0, "no timer was due soon")
    broadcast = soon[0].id
    with at.stage.without(DATABASE, broadcast):
        waiting = _locked(at.stage, f"SELECT 1 FROM broadcasts WHERE id = '{broadcast}' FOR UPDATE")
    return Effect(waiting, f"{broadcast}, {waiting} waited for it")


@fault("somebody keeps a busy table locked")
def lock_a_table(at: Breaking) -> Effect:
    table = at.dice.choice(("mailbox", "broadcasts", "log_heads", "offers"))
    with at.stage.without(DATABASE):
        waiting = _locked(at.stage, f"LOCK TABLE {table} IN EXCLUSIVE MODE")
    return Effect(waiting, f"{table}, {waiting} waited for it")


def _locked(stage: Stage, statement: str) -> int:
    """Hold a lock for some seconds and until another connection waits for it; return how many wait in the end."""
    with stage.engine.begin() as connection:
        me = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.execute(text(statement))
        time.sleep(LOCKED_SECONDS)
        last = time.monotonic() + WAITED_FOR_SECONDS
        while True:
            waiting = stage.rows(
                "SELECT pid FROM pg_stat_activity WHERE :me = ANY(pg_blocking_pids(pid))", me=me
            )
            if waiting or time.monotonic() > last:
                return len(waiting)
            time.sleep(0.2)


@fault("the disk of PostgreSQL is full")
def fill_the_disk_of_the_database(at: Breaking) -> Effect:
    """First no table can grow; then its write-ahead log cannot, which ends it and lets it not begin again."""
    last_half = time.monotonic() + at.long / 2

    def takes_nothing() -> bool:
        if not at.stage.database_has_no_room():
            return False
        if time.monotonic() > last_half:
            with suppress(DBAPIError):
                at.stage.rows("SELECT pg_switch_wal()")
        return True

    with at.stage.without(DATABASE):
        effect = _full(at, at.stage.database_disk, takes_nothing)
        eventually(at.stage.database_answers, within=DOWN_SECONDS)
    return effect


# --- Redis ------------------------------------------------------------------------------------------------


@fault("Redis is killed")
def kill_redis(at: Breaking) -> Effect:
    running = _pids(at.stage.valkey)
    at.stage.valkey.kill()
    return Effect(len(running), "kill -9")


@fault("Redis is restarted")
def restart_redis(at: Breaking) -> Effect:
    return Effect(at.stage.send(signal.SIGTERM, _pids(at.stage.valkey)), "SIGTERM")


@fault("Redis is stopped for a while, and goes on")
def stop_redis(at: Breaking) -> Effect:
    """Worse than dead: it takes connections and answers nobody."""
    running = _pids(at.stage.valkey)
    with at.stage.stopped(running):
        still = at.stage.stand_still(running, at.long)
    return Effect(still, f"for {at.long:.0f} s")


@fault("Redis is emptied")
def empty_redis(at: Breaking) -> Effect:
    with at.stage.redis() as redis:
        keys = cast(int, redis.dbsize())
        redis.flushall()
    return Effect(keys, f"of {keys} keys")


@fault("the disk of Redis is full")
def fill_the_disk_of_redis(at: Breaking) -> Effect:
    """It answers, and takes nothing that would have to be written down."""
    return _full(at, at.stage.redis_disk, at.stage.redis_takes_nothing)


def _full(at: Breaking, disk: SmallDisk, refuses: Callable[[], bool]) -> Effect:
    if disk.why_not:
        raise NotHere(disk.why_not)
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
