"""Removes messages from the broker's lists, as if they had been lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from contextlib import suppress
from uuid import uuid4

from redis.exceptions import RedisError

from tests.faults.fault_system import FaultSystem

BROKER = "weelo:celery:"
# Redis serves blocked clients in turn: three connections take more messages away from the workers than one.
ARMS = 3


class MessageStealer:
    """Competes with the workers for the messages of these queues. Use as a context manager. `loot`: the removed messages."""

    def __init__(self, fault_system: FaultSystem, queues: Iterable[str]) -> None:
        self.loot: list[tuple[str, bytes]] = []
        self._stage = fault_system
        self._lists = [f"{BROKER}{queue}" for queue in queues]
        self._over = threading.Event()
        self._arms = [threading.Thread(target=self._take, daemon=True) for _ in range(ARMS)]

    def __enter__(self) -> MessageStealer:
        for arm in self._arms:
            arm.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for arm in self._arms:
            arm.join()

    def put_back(self, queue: str, message: bytes, copies: int) -> None:
        """Push copies of a message, each with its own delivery tag, as if it had been published several times."""
        with self._stage.redis() as redis:
            for _ in range(copies):
                decoded = json.loads(message)
                decoded["properties"]["delivery_tag"] = str(uuid4())
                redis.lpush(f"{BROKER}{queue}", json.dumps(decoded))

    def _take(self) -> None:
        while not self._over.is_set():
            with suppress(RedisError), self._stage.redis() as redis:
                while not self._over.is_set():
                    taken = redis.brpop(self._lists, timeout=0.5)
                    if taken is not None:
                        queue = taken[0].decode().removeprefix(BROKER)
                        self.loot.append((queue, taken[1]))
