"""Removes the data of a person from Redis and from its files: positions, sessions, and entries of the live stream.

The data are in the keys of `presence`, in `weelo:acked:<id>`, in `weelo:sockets:<id>`, and in the two live streams. All
other keys contain at most the id of the person, and expire within minutes, so they stay.
"""

from __future__ import annotations

import logging
from typing import Any, cast
from uuid import UUID

from redis.exceptions import NoPermissionError, RedisError

from weelo_workers import presence
from weelo_workers.notifications import live_stream, socket_sessions
from weelo_workers.redis_client import redis

log = logging.getLogger(__name__)


class RedisUnavailable(Exception):
    """Redis did not answer. Nothing or a part was removed; repeating is harmless."""


def remove(person: UUID) -> None:
    """Remove the person's keys and all present entries of the live stream, and let Redis write its files anew.

    Readers of the live stream that have not read the removed entries yet read the log instead. Raises RedisUnavailable.
    """
    try:
        presence.forget(person)
        socket_sessions.forget(person)
        live_stream.trim(older_than_seconds=0)
        _rewrite_files()
    except RedisError as error:
        raise RedisUnavailable(str(error)) from error


def stored(person: UUID) -> dict[str, Any]:
    """Return what Redis has about the person, for an export. Raises RedisUnavailable."""
    try:
        at = presence.last_position(person)
        return {
            "position": at and {"latitude": at.latitude, "longitude": at.longitude},
            "acknowledgedSeq": redis().get(socket_sessions.acked_by(person)),
            "sockets": redis().zrange(socket_sessions.sockets_of(person), 0, -1),
        }
    except RedisError as error:
        raise RedisUnavailable(str(error)) from error


def _rewrite_files() -> None:
    """Begin to rewrite the append-only file and the snapshot, if Redis keeps them, because they still have the removed data.

    Raises RedisError if another rewrite is running, because it may have begun before the removal.
    """
    persistence = redis().info("persistence")
    try:
        if persistence.get("aof_enabled"):
            redis().bgrewriteaof()
        if cast(dict[str, str], redis().config_get("save")).get("save"):
            redis().bgsave()
    except NoPermissionError as refused:
        log.warning(
            "an erased person is in the files of Redis until its next BGREWRITEAOF and BGSAVE: %s", refused
        )
