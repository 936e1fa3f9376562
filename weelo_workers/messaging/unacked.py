"""Delete messages that a killed worker had taken and not acknowledged, once their commands are settled.

The broker keeps such a message for `visibility_timeout`, an hour, and then delivers it again. The sweep has executed
the command long before. Without the deletion, each `kill -9` of a worker would leave messages in the broker for an
hour: those in execution, and hundreds whose countdown had not ended.
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
from weelo_workers.rabbitmq_url import is_rabbitmq
from weelo_workers.redis_client import connect, redis
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

# The keys of kombu's Redis transport: delivery tag → [message, exchange, routing key], and delivery tag → the time when
# a worker took the message.
MESSAGES = "weelo:celery:unacked"
TIMES = "weelo:celery:unacked_index"
AT_ONCE = 1_000

_UNSETTLED = text(f"SELECT id FROM mailbox WHERE id = ANY(CAST(:ids AS uuid[])) AND {as_sql(unsettled())}")


@lru_cache(maxsize=1)
def _broker() -> Redis:
    """Return a client of the broker: the one of `redis()` if REDIS_URL is the broker's URL, otherwise a new one."""
    return redis() if settings().broker_url == settings().redis_url else connect(settings().broker_url)


def delete_settled_unacked(engine: Engine) -> int:
    """Delete unacknowledged messages of settled commands. Return how many.

    If a worker acknowledges such a message later, kombu finds nothing to delete, which is harmless. RabbitMQ itself
    returns such messages to their queues when the connection of the worker ends.
    """
    if is_rabbitmq(settings().broker_url):
        return 0
    deleted, cursor = 0, 0
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
            deleted += len(useless)
            if cursor == 0:
                return deleted
    except (RedisError, DBAPIError) as error:
        log.info("messages of settled commands are deleted later: %s", str(error).splitlines()[0])
        return deleted


def _of_settled(engine: Engine, taken: Mapping[str, str]) -> list[str]:
    """Return the tags of messages whose command is settled or deleted."""
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
    """Return the id of the command that the message is for; None if it is no wake-up."""
    try:
        args, *_ = json.loads(base64.b64decode(json.loads(message)[0]["body"]))
        return UUID(args[0])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
