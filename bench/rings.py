"""The search for near transporters: a radius ring compared with bare Redis commands, and heartbeats per second."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select

from bench.figures import Figure, percentile
from bench.http import closed_loop, request
from bench.run import Run
from bench.servers import use
from tests.support.people import Truck
from weelo_workers import presence, redis_client
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.models import MailboxRow
from weelo_workers.presence import Point
from weelo_workers.presence.scripts import GO_ONLINE, HEARTBEAT
from weelo_workers.runtime.embedded import Postgres, Valkey

KIND = "open:17ft"
PICKUP = Point(28.63, 77.22)
HITS, RADIUS_KM = 250, 10.0
PHONES = 32


def ring(run: Run) -> list[Figure]:
    """Measure one ring that finds 250 of 1,000, 10,000 and 100,000 online transporters."""
    use(database_url=Postgres(run.data).url("weelo"), redis_url=Valkey(run.data).url(9))
    client = redis_client.redis()
    rounds, figures = run.size(200, 5), []
    for count in run.size((1_000, 10_000, 100_000), (1_000,)):
        client.flushdb()
        before = client.info("memory")["used_memory"]
        _come_online(count)
        per_head = (client.info("memory")["used_memory"] - before) / count
        found = presence.search([KIND], PICKUP, Reach.within(RADIUS_KM))
        assert len(found.near) == HITS, len(found.near)
        through_presence = _median(rounds, lambda: presence.search([KIND], PICKUP, Reach.within(RADIUS_KM)))
        bare = _median(rounds, _by_hand)
        name = f"one ring, {HITS} hits of {count:,} online"
        figures += [
            Figure(name, {"through presence": through_presence * 1000, "by hand": bare * 1000}, "ms"),
            Figure(f"{name}: through presence ÷ by hand", {"": through_presence / bare}, goal="1.5"),
            Figure(f"memory per online transporter of one kind, {count:,} online", {"": per_head}, "bytes"),
        ]
    client.flushdb()
    return figures


def _by_hand() -> None:
    """Find near transporters and their last heartbeats with bare Redis commands, and parse the replies."""
    client = redis_client.redis()
    near: Any = client.geosearch(
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
    {
        UUID(transporter_id): float(hit[1])
        for transporter_id, hit, at in zip(ids, near, seen, strict=True)
        if at
    }


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


def _median(rounds: int, act: Callable[[], object]) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return percentile(taken, 0.5)


def heartbeats(run: Run) -> list[Figure]:
    """Measure heartbeats per second through the API. The clients run on the same machine."""
    seconds = run.size(6.0, 0.5)
    trucks = [Truck(run.system) for _ in range(4)]
    place = {"latitude": PICKUP.latitude, "longitude": PICKUP.longitude}
    beats = [request("POST", "/transporter/heartbeat", Role.TRANSPORTER, truck.id, place) for truck in trucks]
    before = _commands(run)
    answers = closed_loop(run.system.port, cycle(beats), PHONES, seconds=seconds)
    written = _commands(run) - before
    assert {answer.status for answer in answers} == {204}
    for truck in trucks:
        truck.available(False)
    name = f"heartbeats per second through the API, {PHONES} at a time"
    return [
        Figure(name, {"": len(answers) / seconds}, goal="1,500"),
        Figure("rows of the mailbox that they wrote", {"": written}, goal="none"),
    ]


def _commands(run: Run) -> int:
    with run.database() as engine, engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(MailboxRow)).scalar_one())
