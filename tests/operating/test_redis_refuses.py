"""Workers wait for a Redis (here behind TLS) that accepts connections and refuses commands."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from redis import Redis

from tests.support.people import BOOKING, Truck, book
from tests.support.servers import REDIS_REFUSES, own_database
from tests.support.system import System, doctor
from tests.support.tls import Authority, TlsProxy
from tests.support.waiting import eventually
from tests.support.webhook_receiver import WebhookReceiver
from weelo_workers import presence
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.contracts.statuses import Role
from weelo_workers.doctor.checks.redis import unfit
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.messaging.redis_rights import refused_write
from weelo_workers.presence import Point, PresenceUnavailable
from weelo_workers.runtime.embedded import Valkey

pytestmark = pytest.mark.xdist_group("redis refuses")


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("refusing"))
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, valkey: Valkey) -> Iterator[System]:
    """Yield a system whose connections to Redis all pass through a TLS proxy with a certificate of the tests."""
    folder = tmp_path_factory.mktemp("behind-tls")
    authority = Authority(folder)
    with TlsProxy(valkey.url(), authority.certificate("127.0.0.1")) as proxy:
        running = System(
            folder / "data",
            folder / "log",
            DATABASE_URL=own_database(REDIS_REFUSES),
            REDIS_URL=proxy.url(f"?ssl_ca_certs={authority.file}"),
            BROADCAST_TIMEOUT_SECONDS="5",
            RADIUS_STEP_SECONDS="1",
        )
        yield running
        running.stop()


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Redis]:
    with Redis.from_url(valkey.url(), decode_responses=True) as client:
        yield client


def log_of(system: System) -> list[str]:
    return (system.folder.parent / "log").read_text().splitlines()


def main_processes(system: System) -> dict[str, int]:
    """Return the pid of each queue's worker: that of the main process, which the supervisor has started."""
    return {queue: system.pids(queue)[0] for queue in QUEUES}


def settles_commands(system: System) -> bool:
    with system.http(Role.CUSTOMER, uuid4()) as customer:
        return customer.post("/bookings", json=BOOKING).status_code == 201


def is_well(system: System) -> bool:
    return doctor(system) == []


def test_everything_works_through_tls(system: System) -> None:
    eventually(lambda: is_well(system), within=30)
    assert settles_commands(system)


def replica(redis: Redis) -> None:
    redis.execute_command("REPLICAOF", "127.0.0.1", "1")


def master(redis: Redis) -> None:
    redis.execute_command("REPLICAOF", "NO", "ONE")


def full(redis: Redis) -> None:
    redis.config_set("maxmemory", "1")


def full_and_restarted(redis: Redis) -> None:
    full(redis)
    # All workers lose their connections, as in a restart of Redis. When they connect again, kombu fails to write a key.
    kick(redis)


def roomy(redis: Redis) -> None:
    redis.config_set("maxmemory", "0")


def locked(redis: Redis) -> None:
    redis.config_set("requirepass", "another")
    kick(redis)


def unlocked(redis: Redis) -> None:
    redis.config_set("requirepass", redis.connection_pool.connection_kwargs["password"])


def kick(redis: Redis) -> None:
    redis.client_kill_filter(_type="normal", skipme=True)


@pytest.mark.parametrize(
    ("refuse", "accept", "named"), [(full, roomy, "'maxmemory'"), (replica, master, "read only replica")]
)
def test_why_redis_refuses_writes_is_named(redis: Redis, refuse, accept, named: str) -> None:
    assert refused_write(redis) is None
    refuse(redis)
    try:
        line = refused_write(redis)
        assert line is not None and named in line
        assert len(list(unfit("REDIS_URL", redis))) == 1
    finally:
        accept(redis)
    assert list(unfit("REDIS_URL", redis)) == []


@pytest.mark.parametrize(("refuse", "accept"), [(full, roomy), (replica, master)])
@pytest.mark.parametrize("online", [True, False])
def test_positions_in_a_redis_that_refuses_writes_count_as_unknown(
    redis: Redis, refuse, accept, online: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that refuses writes stores no heartbeats, so searches in it would return outdated results."""
    monkeypatch.setattr(presence, "redis", lambda: redis)
    transporter, here = uuid4(), Point(28.61, 77.21)
    if online:
        presence.online(transporter, ["a kind"], stamp=1.0)
        presence.heartbeat(transporter, here, any_distance=True)
    searches = (
        lambda: presence.search(["a kind"], here, Reach.within(10)),
        lambda: presence.nearest(["a kind"], here, 5, Reach.within(10)),
        lambda: presence.online_within([transporter], here, Reach.within(10)),
        lambda: presence.position(transporter),
    )
    refuse(redis)
    try:
        for search in searches:
            with pytest.raises(PresenceUnavailable):
                search()
    finally:
        accept(redis)
    assert (transporter in presence.search(["a kind"], here, Reach.within(10)).near) is online
    presence.offline(transporter, stamp=2.0)


@pytest.mark.parametrize(
    ("refuse", "accept"), [(full, roomy), pytest.param(replica, master, marks=pytest.mark.long)]
)
def test_a_fleet_is_offered_a_request_while_redis_refuses_writes(
    system: System, redis: Redis, refuse, accept
) -> None:
    eventually(lambda: is_well(system), within=30)
    refuse(redis)
    try:
        fleet = Truck(system)
        booking = book(system.client(Role.CUSTOMER, uuid4()))
        eventually(
            lambda: booking["id"] in [offer["broadcastId"] for offer in fleet.client.offers()], within=5
        )
    finally:
        accept(redis)


@pytest.mark.long
def test_a_webhook_gets_the_lines_that_were_written_while_redis_refused_commands(
    system: System, redis: Redis
) -> None:
    eventually(lambda: is_well(system), within=30)
    receiver = WebhookReceiver()
    with system.http(Role.CUSTOMER, uuid4()) as owner:
        owner.post("/webhooks", json={"url": receiver.url, "events": ["*"]}).raise_for_status()
        eventually(lambda: receiver.seqs() == [1])
        locked(redis)
        try:
            for _ in range(3):
                answer = owner.put(f"/devices/{uuid4().hex}", json={"platform": "ios"})
                assert answer.status_code == 200
        finally:
            unlocked(redis)
        eventually(lambda: receiver.seqs() == [1, 2, 3, 4], within=60)
    receiver.close()


@pytest.mark.parametrize(
    ("refuse", "accept"),
    [
        pytest.param(replica, master, id="replica", marks=pytest.mark.long),
        pytest.param(full, roomy, id="full"),
        pytest.param(full_and_restarted, roomy, id="full and restarted", marks=pytest.mark.long),
        pytest.param(locked, unlocked, id="password", marks=pytest.mark.long),
    ],
)
def test_workers_survive_a_redis_that_refuses_commands(system: System, redis: Redis, refuse, accept) -> None:
    eventually(lambda: is_well(system), within=30)
    before, lines = main_processes(system), len(log_of(system))
    refuse(redis)
    try:
        for _ in range(2):
            assert settles_commands(system)  # commands are settled without Redis: the sweep executes them
    finally:
        accept(redis)
    eventually(lambda: is_well(system), within=60)
    assert settles_commands(system)
    assert main_processes(system) == before
    # Lines at INFO are left out, because each command has one. The lines about the outage are warnings, and must be few.
    output = [line for line in log_of(system)[lines:] if " INFO " not in line]
    assert not [line for line in output if "Unrecoverable" in line or "Traceback" in line]
    assert len(output) < 8 * len(QUEUES), "\n".join(output)
