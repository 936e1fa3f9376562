"""The search for near transporters: a radius ring compared with bare Redis commands, and heartbeats per second."""

from __future__ import annotations

import json
import os
import random
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

from bench.figures import Figure, percentile
from tests.support.people import Truck
from tests.support.system import System
from tests.support.tokens import token
from weelo_workers import presence, redis_client, settings as settings_module
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.presence import Point
from weelo_workers.presence.scripts import GO_ONLINE, HEARTBEAT
from weelo_workers.runtime.embedded import Valkey

KIND = "open:17ft"
PICKUP = Point(28.63, 77.22)
HITS, RADIUS_KM = 250, 10.0
ROUNDS = 200
SECONDS = 6.0
PHONES = 32


def ring(system: System, data: Path) -> list[Figure]:
    """Measure one ring that finds 250 of 1,000, 10,000 and 100,000 online transporters."""
    os.environ["REDIS_URL"] = Valkey(data).url(9)
    settings_module.settings.cache_clear()
    redis_client.redis.cache_clear()
    client = redis_client.redis()
    figures = []
    for count in (1_000, 10_000, 100_000):
        client.flushdb()
        before = client.info("memory")["used_memory"]
        _come_online(count)
        per_head = (client.info("memory")["used_memory"] - before) / count
        found = presence.search([KIND], PICKUP, Reach.within(RADIUS_KM))
        assert len(found.near) == HITS, len(found.near)
        through_presence = _median(lambda: presence.search([KIND], PICKUP, Reach.within(RADIUS_KM)))
        bare = _median(_by_hand)
        figures.append(
            Figure(
                f"one ring, {HITS} hits of {count:,} online: ours / by hand",
                f"{through_presence * 1000:.2f} / {bare * 1000:.2f} ms, ratio {through_presence / bare:.2f}",
                "ratio 1.5",
            )
        )
    figures.append(Figure("memory per online transporter of one kind, 100,000 online", f"{per_head:.0f} B"))
    client.flushdb()
    return figures


def _by_hand() -> None:
    """Find near transporters and their last heartbeats with bare Redis commands, and parse the replies."""
    client = redis_client.redis()
    near = client.geosearch(
        f"weelo:presence:geo:{KIND}",
        longitude=PICKUP.longitude,
        latitude=PICKUP.latitude,
        radius=RADIUS_KM,
        unit="km",
        withdist=True,
    )
    ids = [str(hit[0]) for hit in near]
    pipeline = client.pipeline(transaction=False)
    pipeline.zmscore("weelo:presence:seen", ids)
    (seen,) = pipeline.execute()
    {UUID(who): float(hit[1]) for who, hit, at in zip(ids, near, seen, strict=True) if at}


def _come_online(count: int) -> None:
    dice = random.Random(count)
    client = redis_client.redis()
    online, heartbeat = client.register_script(GO_ONLINE), client.register_script(HEARTBEAT)
    for first in range(0, count, 1_000):
        pipeline = client.pipeline(transaction=False)
        for number in range(first, min(first + 1_000, count)):
            transporter_id = str(uuid4())
            km = dice.uniform(0, RADIUS_KM * 0.95) if number < HITS else dice.uniform(150, 1_200)
            north = km / 111.0 * dice.choice((-1, 1))
            online(args=[transporter_id, json.dumps([KIND]), "1.0", 1], client=pipeline)
            heartbeat(args=[transporter_id, PICKUP.longitude, PICKUP.latitude + north], client=pipeline)
        pipeline.execute()


def _median(act: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return percentile(taken, 0.5)


def heartbeats(system: System, data: Path) -> list[Figure]:
    """Measure heartbeats per second through the API, with the clients on the same two cores."""
    trucks = [Truck(system) for _ in range(4)]
    rows = "SELECT count(*) FROM mailbox"
    before = _count(data, rows)
    requests = [_request(system, trucks[number % 4]) for number in range(PHONES)]
    waiting = selectors.DefaultSelector()
    for request in requests:
        line = socket.create_connection(("127.0.0.1", system.port))
        line.sendall(request)
        waiting.register(line, selectors.EVENT_READ, request)
    done, until = 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        for key, _ in waiting.select(timeout=1):
            line: socket.socket = key.fileobj  # type: ignore[assignment]
            answer = line.recv(4096)
            assert answer.startswith(b"HTTP/1.1 204"), answer
            done += 1
            line.sendall(key.data)
    for key in list(waiting.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    commands = _count(data, rows) - before
    for truck in trucks:
        truck.available(False)
    return [
        Figure(
            f"heartbeats a second through the API, {PHONES} at a time",
            f"{done / SECONDS:,.0f}; mailbox rows written meanwhile: {commands}",
            "1,500; none",
        )
    ]


def _request(system: System, truck: Truck) -> bytes:
    body = '{"latitude": 28.63, "longitude": 77.22}'
    return (
        f"POST /api/v1/transporter/heartbeat HTTP/1.1\r\nHost: 127.0.0.1:{system.port}\r\n"
        f"Authorization: Bearer {token(Role.TRANSPORTER, truck.id)}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _count(data: Path, query: str) -> int:
    from sqlalchemy import text

    from weelo_workers.models.engine import connect
    from weelo_workers.runtime.embedded import Postgres

    engine = connect(Postgres(data).url("weelo"))
    with engine.connect() as connection:
        count = int(connection.execute(text(query)).scalar_one())
    engine.dispose()
    return count
