"""Reads presence as a whole: how many transporters are online, and what is stored about a sample of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from weelo_workers import redis_clock
from weelo_workers.presence.scripts import COUNT_ONLINE
from weelo_workers.redis_client import redis
from weelo_workers.settings import settings

_KINDS = "weelo:presence:kinds"


def count_online() -> int:
    """Return how many transporters have sent a heartbeat within PRESENCE_TTL_SECONDS. Raises RedisError."""
    script = redis().register_script(redis_clock.lua(COUNT_ONLINE))
    return int(script(args=[settings().presence_ttl_seconds]))


def sample(at_most: int) -> dict[UUID, str]:
    """Return the kinds of trucks stored for some transporters, chosen at random, as JSON. Raises RedisError."""
    found: Any = redis().hrandfield(_KINDS, at_most, withvalues=True)
    return {UUID(each): kinds for each, kinds in zip(found[::2], found[1::2], strict=True)}


def stored(transporter_ids: Collection[UUID]) -> dict[UUID, str | None]:
    """Return the kinds of trucks stored for these transporters, as JSON; None where none are stored. Raises RedisError."""
    if not transporter_ids:
        return {}
    found: Any = redis().hmget(_KINDS, [str(each) for each in transporter_ids])
    return dict(zip(transporter_ids, found, strict=True))
