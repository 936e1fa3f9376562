"""Checks that nothing leaks: locks, keys, messages, connections, memory."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import cast

import psutil

from tests.faults.checks import Evidence, check, remaining_after
from tests.faults.fault_system import FaultSystem
from weelo_workers.contracts.queues import QUEUES

BROKER = "weelo:celery:"
KEY_GRACE_SECONDS = 7.0  # 2 s longer than presence keeps a broadcast after its deadline


@check("no lock is held")
def no_locks(seen: Evidence) -> tuple[str, list[str]]:
    query = """
        SELECT l.locktype, l.mode, l.relation::regclass::text AS relation, a.state, left(a.query, 80) AS query
          FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE a.datname = current_database() AND pid <> pg_backend_pid() AND locktype <> 'virtualxid'"""
    return "pg_locks", remaining_after(
        lambda: [str(tuple(row)) for row in seen.fault_system.rows(query)], within=10
    )


@check("Redis has no key of a finished request beyond its deadline (+ the longest outage)")
def no_keys(seen: Evidence) -> tuple[str, list[str]]:
    """Check when the keys of requests expire.

    A process sends Redis the number of seconds until the key expires. If that process or Redis is suspended before
    Redis receives the number, the key expires later by as many seconds as the suspension lasts.
    """
    ends = {
        str(row.id): row.ends
        for row in seen.fault_system.rows(
            "SELECT id, EXTRACT(EPOCH FROM expires_at)::float AS ends FROM broadcasts"
        )
    }
    ends |= seen.fault_system.deadlines
    looked_at = 0

    def latest_end(broadcast: str) -> float:
        return ends.get(broadcast, 0.0) + KEY_GRACE_SECONDS + seen.fault_system.longest_outage(broadcast)

    def left() -> list[str]:
        nonlocal looked_at
        found, now = [], time.time()
        with seen.fault_system.redis() as redis:
            for key in (raw.decode() for raw in redis.scan_iter(match="weelo:open:*", count=1000)):
                kind, _, rest = key.removeprefix("weelo:open:").partition(":")
                looked_at += 1
                if kind == "geo":
                    members = [member.decode() for member in cast(list[bytes], redis.zrange(key, 0, -1))]
                    found += [f"{key}: {each}" for each in members if latest_end(each) < now]
                elif kind in ("about", "told"):
                    ttl = cast(int, redis.ttl(key))
                    if ttl == -1 or (ttl > 0 and now + ttl > latest_end(rest)):
                        found.append(f"{key} for {ttl} s, {now + ttl - latest_end(rest):.1f} s too long")
        return found

    return f"{looked_at} keys", remaining_after(left, within=25)


@check("the broker has no waiting and no unacknowledged message")
def no_messages(seen: Evidence) -> tuple[str, list[str]]:
    def left() -> list[str]:
        with seen.fault_system.redis() as redis:
            # kombu puts messages of lower priorities into further lists, whose names begin with the queue's name.
            lists = [
                key.decode() for queue in QUEUES for key in redis.scan_iter(f"{BROKER}{queue}*", _type="list")
            ]
            waiting = {key.removeprefix(BROKER): cast(int, redis.llen(key)) for key in lists}
            unacked = cast(dict[bytes, bytes], redis.hgetall(f"{BROKER}unacked"))
        found = [f"{n} wait on {queue}" for queue, n in waiting.items() if n]
        return found + [
            f"unacked: {json.loads(message)[2]} {tag.decode()}" for tag, message in unacked.items()
        ]

    return "queues and unacked", remaining_after(left, within=30)


# --- resources of the processes -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    processes: int
    backends: int
    redis_clients: int
    files: int
    threads: int
    megabytes: int

    @classmethod
    def now(cls, fault_system: FaultSystem) -> Usage:
        files = threads = memory = processes = 0
        for child in psutil.Process(fault_system.system.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if child.name() in ("postgres", "valkey-server"):
                    continue
                files += child.num_fds()
                threads += child.num_threads()
                memory += child.memory_full_info().pss
                processes += 1
        query = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
        with fault_system.redis() as redis:
            clients = len(redis.client_list())
        return cls(processes, fault_system.rows(query)[0].n, clients, files, threads, memory // 2**20)

    def exceeds(self, before: Usage) -> list[str]:
        """Return the resources of which the system uses much more than it did when `before` was measured.

        Some growth is allowed: pools keep connections.
        """
        allowed = {
            "processes": before.processes,
            "backends": before.backends + 12,
            "redis_clients": before.redis_clients + 45,
            "files": before.files * 1.25,
            "threads": before.threads + 40,
            "megabytes": before.megabytes * 1.25,
        }
        now = asdict(self)
        return [
            f"{now[what]} {what}, before {getattr(before, what)}"
            for what in allowed
            if now[what] > allowed[what]
        ]


@check("connections, files, threads and memory are as before the play, except for what pools keep")
def back_to_normal(seen: Evidence) -> tuple[str, list[str]]:
    before = seen.fault_system.usual
    assert before is not None, "the usage at rest was not measured before the play"
    wrong = remaining_after(lambda: Usage.now(seen.fault_system).exceeds(before), within=20)
    return f"before {before}, now {Usage.now(seen.fault_system)}", wrong
