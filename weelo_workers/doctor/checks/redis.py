"""Checks of Redis: as the store of presence, and as Celery's broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from weelo_workers.doctor.check import Examination, Severity, check
from weelo_workers.messaging import rabbitmq
from weelo_workers.messaging.redis_rights import missing_right, refused_write
from weelo_workers.rabbitmq_url import is_rabbitmq
from weelo_workers.redis_client import connect, reason, redis
from weelo_workers.settings import settings


@check(
    "redis",
    remedy="make Redis reachable and writable; until then the sweep executes commands, and distances are not known",
)
def redis_servers(_look: Examination) -> Iterator[str]:
    """Find a Redis that does not answer or cannot be used."""
    for variable, client in _servers():
        try:
            yield from (f"{variable}: {line}" for line in unfit(variable, client))
        except RedisError as error:
            yield f"{variable}: not reachable: {reason(error)}"


@check(
    "rabbitmq",
    remedy="make RabbitMQ reachable, or correct CELERY_BROKER_URL; until then the sweep executes commands",
)
def rabbitmq_server(_look: Examination) -> Iterator[str]:
    """Find a RabbitMQ that does not answer or refuses the connection. If the broker is Redis, there is no finding."""
    url = settings().broker_url
    if is_rabbitmq(url) and (fault := rabbitmq.fault(url)):
        yield f"CELERY_BROKER_URL: RabbitMQ cannot be used: {fault}"


@check(
    "redis-eviction",
    severity=Severity.WARNING,
    remedy="set maxmemory-policy to noeviction, and give Redis enough memory",
)
def redis_eviction(_look: Examination) -> Iterator[str]:
    """Find a Redis that deletes keys when its memory is full."""
    for variable, client in _servers():
        with suppress(RedisError):
            memory: Any = client.info("memory")
            policy = memory.get("maxmemory_policy", "noeviction")
            if int(memory.get("maxmemory", 0)) and policy != "noeviction":
                yield (
                    f"{variable}: maxmemory-policy is {policy}: when its memory is full, positions and wake-ups get lost; "
                    "use noeviction"
                )


def unfit(variable: str, client: Redis) -> Iterator[str]:
    """Yield a message for each reason why this Redis cannot be used. Raises RedisError if it does not answer."""
    client.ping()
    try:
        about: Any = client.info("replication") | client.info("cluster")
    except ResponseError:
        # Some managed services do not permit INFO. Then it is not checked whether Redis is a replica or a cluster.
        about = {}
    presence = variable == "REDIS_URL"
    broker = not presence or settings().broker_url == settings().redis_url
    if missing := missing_right(client, presence=presence, broker=broker):
        yield missing
    if about.get("role") == "slave":
        yield "is a read-only replica; use the primary's address"
    elif about.get("cluster_enabled"):
        yield "is a cluster, whose keys lie on several servers; use a single one"
    elif refusal := refused_write(client):
        yield refusal


def _servers() -> Iterator[tuple[str, Redis]]:
    yield "REDIS_URL", redis()
    if settings().broker_url != settings().redis_url and not is_rabbitmq(settings().broker_url):
        yield "CELERY_BROKER_URL", connect(settings().broker_url)
