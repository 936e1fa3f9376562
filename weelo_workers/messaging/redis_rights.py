"""Whether a Redis lets this user do what Celery and presence do. Celery reports a refusal without the command or key."""

from __future__ import annotations

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from weelo_workers.messaging.celery_settings import celery_settings

ANSWER_SECONDS = 1.0
NEEDED = "~weelo:* &* +@all -@admin -@dangerous"


def missing_right(client: Redis, *, presence: bool = True, broker: bool = True) -> str | None:
    """Return a line about the first command, key or channel that is refused, None if there is none. Changes nothing.

    `presence`, `broker`: what this server is used for. REDIS_URL and CELERY_BROKER_URL may name different users.
    Raises RedisError if Redis does not answer. Other refusals, as by a full Redis or a cluster, are not reported here.
    """
    prefix = celery_settings().broker_transport_options["global_keyprefix"]
    try:
        if presence:
            client.exists("weelo:rights")
            client.eval("return 1", 0)
        if not broker:
            return None
        client.exists(f"{prefix}rights")
        # The channel of Celery's remote control. For PSUBSCRIBE, &weelo:* is not enough: Redis wants the very pattern, or &*.
        database = client.get_connection_kwargs()["db"]
        with client.pubsub() as listener:  # type: ignore[no-untyped-call]
            listener.psubscribe(f"{prefix}/{database}.celery.pidbox")
            listener.get_message(timeout=ANSWER_SECONDS)
    except NoPermissionError as refusal:
        return f"{refusal}; a user with these rights suffices: {NEEDED}"
    except ResponseError as refusal:
        if "unknown command" in str(refusal).lower():  # it was renamed or disabled
            return str(refusal).partition(",")[0]
    return None
