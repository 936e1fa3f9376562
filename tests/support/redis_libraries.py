"""Connects to a Redis URL with redis-py and with Celery, as the product does."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from kombu import pools
from redis.exceptions import RedisError

from weelo_workers import redis_client, redis_url
from weelo_workers.messaging.celery_waker import CeleryWaker
from weelo_workers.messaging.wakeup import BrokerUnavailable, WakeUp

Connects = Callable[[str], bool]


def redis_connects(url: str) -> bool:
    client = redis_client.connect(url)
    try:
        return bool(client.ping())
    except RedisError:
        return False
    finally:
        client.close()


def celery_connects(url: str) -> bool:
    """Return whether Celery can send a message to the queue `fleet`."""
    pools.reset()  # close kombu's old connections to this address, which were checked with other certificates
    waker = CeleryWaker()
    waker._celery.conf.update(redis_url.read(url).for_celery())
    try:
        waker.wake(WakeUp(uuid4(), "fleet.sync_presence", "fleet"))
    except BrokerUnavailable:
        return False
    finally:
        waker._celery.close()
    return True


LIBRARIES = (redis_connects, celery_connects)
