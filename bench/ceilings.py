"""Ceilings: the highest rate that this machine reaches with each part alone. Every run measures them for comparison."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from redis import Redis

from bench.bare_accept import BareAccepts
from bench.bare_loop import bare_loop
from bench.figures import Figure, percentile
from bench.http import closed_loop, request
from bench.processes import tree_seconds
from bench.servers import own_database
from tests.support.sources import ROOT
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role
from weelo_workers.runtime.embedded import Postgres, Valkey
from weelo_workers.runtime.ports import free_port

CLIENTS = 8
ONLINE, HITS, RADIUS_KM = 10_000, 250, 10.0
PLACE = (77.22, 28.63)
TASKS = ("bare", "unacked")  # at least one of these keys exists in Redis while a task waits or runs


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The highest rate of one operation.

    `milliseconds`: processor time per operation, summed over all processes that take part. The client is included,
    except in `socket_write`.
    """

    what: str
    per_second: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Ceilings:
    no_op_task: Ceiling
    flask_and_enqueue: Ceiling
    accept_sql: Ceiling
    geosearch: Ceiling
    socket_write: Ceiling

    @property
    def bare_accept(self) -> float:
        """The sum of three processor times in ms: a no-op task, bare Flask + enqueue, and the accept's bare SQL."""
        return sum(part.milliseconds for part in (self.no_op_task, self.flask_and_enqueue, self.accept_sql))

    def figures(self) -> list[Figure]:
        unit = self.no_op_task.milliseconds
        parts = (self.no_op_task, self.flask_and_enqueue, self.accept_sql, self.geosearch, self.socket_write)
        return [
            Figure(
                part.what,
                {
                    "per second": part.per_second,
                    "processor ms": part.milliseconds,
                    "no-op tasks": part.milliseconds / unit,
                },
                table="ceilings",
            )
            for part in parts
        ]


def measure(data: Path, *, quick: bool) -> Ceilings:
    """Measure all ceilings on the running PostgreSQL of this data dir, and on a Redis started for this purpose."""
    many = 50 if quick else 2_000
    broker = Valkey(data / "ceilings")
    try:
        os.environ["REDIS_URL"] = broker.start()  # bench/bare.py reads this variable
        broker_pid = broker.pid()
        assert broker_pid is not None
        with Redis.from_url(broker.url()) as redis:
            return Ceilings(
                no_op_task=_no_op_task(redis, broker_pid, many),
                flask_and_enqueue=_flask_and_enqueue(broker_pid, many),
                accept_sql=_accept_sql(data, many),
                geosearch=_geosearch(redis, broker_pid, many // 10),
                socket_write=_socket_write(100 if quick else 1_000),
            )
    finally:
        broker.remove()


def _no_op_task(redis: Redis, broker_pid: int, many: int) -> Ceiling:
    """Publish tasks from this process to a worker with two child processes, and wait until the last one is acknowledged."""
    from bench.bare import nothing

    options = ("--queues=bare", "--pool=prefork", "--concurrency=2", "--without-mingle", "--without-gossip")
    with _program("celery", "--app=bench.bare", "--quiet", "worker", *options, "--loglevel=ERROR") as worker:

        def publish(count: int) -> None:
            for _ in range(count):
                nothing.apply_async([str(uuid4())], retry=False)
            eventually(lambda: not any(redis.exists(key) for key in TASKS), within=60, every=0.01)

        publish(20)  # not measured: these tasks also wait until the worker has started
        return _measured("no-op Celery task", many, lambda: publish(many), worker, broker_pid)


def _flask_and_enqueue(broker_pid: int, many: int) -> Ceiling:
    """Send requests of eight clients in a closed loop to gunicorn. Its two processes are as many as our API has."""
    port = free_port()
    options = (
        "--worker-class=gthread",
        "--workers=2",
        "--threads=8",
        "--no-control-socket",
        "--log-level=error",
    )
    with _program("gunicorn", f"--bind=127.0.0.1:{port}", *options, "bench.bare:web") as web:
        eventually(lambda: _listens(port), within=30)
        body = {"id": str(uuid4()), "vehicleId": str(uuid4())}
        prepared = request("POST", "/bare", Role.TRANSPORTER, uuid4(), body)

        def send(count: int) -> None:
            answers = closed_loop(port, [prepared] * count, CLIENTS)
            assert {answer.status for answer in answers} == {202}

        send(20)
        return _measured("bare Flask + enqueue", many, lambda: send(many), web, broker_pid)


def _accept_sql(data: Path, many: int) -> Ceiling:
    """Execute the accept's statements in a database that nothing else uses."""
    own_database(data, "ceilings").dispose()
    url = Postgres(data).url("ceilings")
    warm_up = BareAccepts(url, 20)
    warm_up.run()
    warm_up.close()
    accepts = BareAccepts(url, many)
    try:
        name = "an accept's bare SQL, psycopg2, one connection"
        return _measured(name, many, accepts.run, accepts.backend_pid)
    finally:
        accepts.close()


def _geosearch(redis: Redis, broker_pid: int, many: int) -> Ceiling:
    """Search for near transporters with the bare Redis command."""
    dice = random.Random(1)
    longitude, latitude = PLACE
    places: list[float | str] = []
    for number in range(ONLINE):
        km = dice.uniform(0, RADIUS_KM * 0.95) if number < HITS else dice.uniform(150, 1_200)
        places += [longitude, latitude + km / 111.0 * dice.choice((-1, 1)), str(uuid4())]
    redis.geoadd("near", places)

    def search() -> None:
        for _ in range(many):
            redis.geosearch(
                "near", longitude=longitude, latitude=latitude, radius=RADIUS_KM, unit="km", withdist=True
            )

    return _measured(f"GEOSEARCH, {HITS} hits of {ONLINE:,}, one connection", many, search, broker_pid)


def _socket_write(readers: int) -> Ceiling:
    """Write a frame to each of many sockets in a bare loop. The readers' processor time is not counted."""
    taken, processor = bare_loop(readers)
    return Ceiling("a socket write, bare loop", readers / percentile(taken, 0.5), processor * 1000)


def _measured(what: str, many: int, act: Callable[[], None], *pids: int) -> Ceiling:
    """Call `act`, which repeats one operation `many` times, and return the ceiling.

    The processor time is that of this process, and of the processes `pids` and their descendants.
    """
    before, own, began = sum(map(tree_seconds, pids)), time.process_time(), time.perf_counter()
    act()
    took, own = time.perf_counter() - began, time.process_time() - own
    used = sum(map(tree_seconds, pids)) - before + own
    return Ceiling(what, many / took, used / many * 1000)


@contextmanager
def _program(module: str, *arguments: str) -> Iterator[int]:
    """Run a Python module in the repository's folder, and yield its pid."""
    # `-W ignore` suppresses Celery's warning that it runs as root, as is usual in a container.
    argv = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
