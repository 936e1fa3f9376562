"""Checks whether a Redis permits this user the commands of Celery and presence.

Celery's own error does not name the command or the key that is not permitted.
"""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from weelo_workers.messaging.celery_settings import celery_settings

ANSWER_SECONDS = 1.0
NEEDED = "~weelo:* &* +@all -@admin -@dangerous"


def missing_right(client: Redis, *, presence: bool = True, broker: bool = True) -> str | None:
    """Return a line about the first command, key or channel that is not permitted; None if all are. Changes nothing.

    `presence`, `broker`: what this server is used for. REDIS_URL and CELERY_BROKER_URL may name different users. Raises
    RedisError if Redis does not answer. Refusals for other reasons, such as a full memory, are not reported here (see
    `refused_write`).
    """
    try:
        if presence:
            _write_nothing(client, "weelo:rights")
            client.eval("return 1", 0)
        if not broker:
            return None
        prefix = celery_settings().broker_transport_options["global_keyprefix"]
        _write_nothing(client, f"{prefix}rights")
        # The channel of Celery's remote control. For PSUBSCRIBE, &weelo:* is not enough: Redis requires exactly the
        # subscribed pattern, or &*.
        database = client.get_connection_kwargs()["db"]
        with client.pubsub() as listener:  # type: ignore[no-untyped-call]
            listener.psubscribe(f"{prefix}/{database}.celery.pidbox")
            listener.get_message(timeout=ANSWER_SECONDS)
    except NoPermissionError as refusal:
        return f"{refusal}; a user with these rights suffices: {NEEDED}"
    except ResponseError as refusal:
        # This error means that the command was renamed or disabled.
        if "unknown command" in str(refusal).lower():
            return str(refusal).partition(",")[0]
    return None


def refused_write(client: Redis) -> str | None:
    """Return why Redis refuses writes although the user has the right, None if it accepts them. Changes nothing.

    Redis refuses writes if its memory is full, if its disk is full, or if it is a replica.
    """
    try:
        client.set("weelo:rights", "", xx=True)
    except NoPermissionError:
        return None
    except ResponseError as refusal:
        return f"it refuses writes: {refusal}"
    return None


def refused_connections(client: Redis) -> tuple[int, int]:
    """Return how many connections this Redis has refused since its start, and its limit of connections.

    Both are 0 if this Redis does not permit INFO.
    """
    try:
        about: Any = client.info("stats") | client.info("clients")
    except ResponseError:
        return 0, 0
    return int(about.get("rejected_connections", 0)), int(about.get("maxclients", 0))


def _write_nothing(client: Redis, key: str) -> None:
    """Send a write that changes nothing. Raises ResponseError only if the command or the key is not permitted."""
    try:
        client.set(key, "", xx=True)
    except NoPermissionError:
        raise
    except ResponseError as refusal:
        if "unknown command" in str(refusal).lower():
            raise
