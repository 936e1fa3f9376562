"""What a killed worker had taken and not acknowledged is forgotten once its command is settled.

The broker keeps such a message for `visibility_timeout`, an hour, and gives it to somebody then. Nobody needs it: the
sweep has seen to its row long before. Without this each `kill -9` would leave its handful, and countdowns by the hundred.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import cast
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from weelo_workers.models.mailbox import as_sql, unsettled
from weelo_workers.redis_client import connect, redis
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

# How kombu's Redis transport keeps them: tag → [message, exchange, routing key], and tag → when it was taken.
MESSAGES = "weelo:celery:unacked"
TIMES = "weelo:celery:unacked_index"
AT_ONCE = 1_000

_UNSETTLED = text(f"SELECT id FROM mailbox WHERE id = ANY(CAST(:ids AS uuid[])) AND {as_sql(unsettled())}")


@lru_cache(maxsize=1)
def _broker() -> Redis:
    """The connection that everything else has where it can be: of a hung Redis nobody should learn twice."""
    return redis() if settings().broker_url == settings().redis_url else connect(settings().broker_url)


def delete_settled_unacked(engine: Engine) -> int:
    """Delete messages taken by somebody whose command is settled. Returns how many they were.

    A worker that lives and acknowledges one of these later finds nothing to delete.
    """
    forgotten, cursor = 0, 0
    try:
        broker = _broker()
        while True:
            cursor, taken = cast(
                tuple[int, dict[str, str]], broker.hscan(MESSAGES, cursor=cursor, count=AT_ONCE)
            )
            useless = _of_settled(engine, taken)
            if useless:
                with broker.pipeline(transaction=True) as pipe:
                    pipe.hdel(MESSAGES, *useless)
                    pipe.zrem(TIMES, *useless)
                    pipe.execute()
            forgotten += len(useless)
            if cursor == 0:
                return forgotten
    except (RedisError, DBAPIError) as error:
        log.info("unacknowledged messages stay for now: %s", str(error).splitlines()[0])
        return forgotten


def _of_settled(engine: Engine, taken: Mapping[str, str]) -> list[str]:
    """The tags of those whose command is settled, or aged out."""
    commands = {
        tag: command for tag, message in taken.items() if (command := _command_of(message)) is not None
    }
    if not commands:
        return []
    with engine.connect() as connection:
        found = connection.execute(_UNSETTLED, {"ids": [str(each) for each in commands.values()]})
        unsettled = {row.id for row in found}
    return [tag for tag, command in commands.items() if command not in unsettled]


def _command_of(message: str) -> UUID | None:
    """The command that it rings for; None if this is no ring of ours."""
    try:
        args, *_ = json.loads(base64.b64decode(json.loads(message)[0]["body"]))
        return UUID(args[0])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
