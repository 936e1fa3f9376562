"""The live stream: a Redis stream of committed log lines.

Every API process reads this Redis stream. Its entries may be lost or trimmed: API processes read missing lines from the
log in PostgreSQL, which is complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from weelo_workers import tracing
from weelo_workers.contracts.wire import rfc3339
from weelo_workers.redis_client import redis

STREAM_KEY = "weelo:news"
# The stream keeps this many entries: some seconds at full load. Readers are milliseconds behind; a reader that is
# further behind reads the log.
KEEP = 1_000
# The limit on the size of an entry. With this limit the stream has at most 64 MB, an eighth of Redis's memory in
# Compose. Without the limit, the entry of a ring that offers 50 slots to 250 fleets would have 499 KB (measured), and a
# thousand such entries would fill that memory.
ENTRY_BYTES = 64_000
# Ephemeral events have a stream of their own, so that the positions of a thousand trucks do not displace log lines.
EPHEMERAL = "weelo:news:of-the-moment"
# Readers need an entry for milliseconds only. On a quiet system the oldest of a thousand entries may be days old.
# Entries contain names and addresses, so beat deletes entries that are older than this.
KEEP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event and its readers: user id → (seq, data for this reader only)."""

    id: UUID
    event: str
    at: datetime
    data: dict[str, Any]
    to: dict[str, tuple[int, dict[str, Any] | None]]


def publish(items: Sequence[StreamEvent]) -> None:
    """Publish log lines that have been committed."""
    lines = sum(len(item.to) for item in items)
    with (
        tracing.span("publish frames", "producer", {"weelo.lines": lines}),
        redis().pipeline(transaction=False) as pipe,
    ):
        for text in _entries(items):
            pipe.xadd(STREAM_KEY, {"items": text}, maxlen=KEEP, approximate=True)
        pipe.execute()


def _entries(items: Sequence[StreamEvent]) -> Iterator[str]:
    """Yield stream entries as JSON.

    An entry that is too long is split into halves of its items. A single item is split into halves of its readers.
    """
    text = json.dumps(
        [{"id": str(i.id), "event": i.event, "at": rfc3339(i.at), "data": i.data, "to": i.to} for i in items],
        separators=(",", ":"),
    )
    [first, *others] = items
    if len(text) <= ENTRY_BYTES or not (others or len(first.to) > 1):
        yield text
    elif others:
        half = len(items) // 2
        yield from _entries(items[:half])
        yield from _entries(items[half:])
    else:
        readers, half = list(first.to.items()), len(first.to) // 2
        yield from _entries([replace(first, to=dict(readers[:half]))])
        yield from _entries([replace(first, to=dict(readers[half:]))])


def publish_ephemeral(user_id: UUID, event: str, data: dict[str, Any]) -> None:
    """Publish an event to this user's open sockets only. It has no `seq` and is not written to the log."""
    text = json.dumps(
        [{"event": event, "data": data, "to": {str(user_id): (None, None)}}], separators=(",", ":")
    )
    redis().xadd(EPHEMERAL, {"items": text}, maxlen=KEEP, approximate=True)


def trim(older_than_seconds: float = KEEP_SECONDS) -> None:
    """Delete the entries that are older than this many seconds. Raises RedisError."""
    seconds, microseconds = redis().time()
    # The id of an entry begins with the time at which Redis stored it, in milliseconds. So entries are deleted by id.
    oldest = int((seconds - older_than_seconds) * 1_000 + microseconds / 1_000)
    with redis().pipeline(transaction=False) as pipe:
        for key in (STREAM_KEY, EPHEMERAL):
            pipe.xtrim(key, minid=str(max(0, oldest)), approximate=False)
        pipe.execute()


def decode(entry: dict[str, str]) -> list[dict[str, Any]]:
    """Return the items of one stream entry: `{id, event, at, data, to: {user id: [seq, own]}}`.

    An ephemeral item is `{event, data, to}`, with null for `seq` and `own`.
    """
    items: list[dict[str, Any]] = json.loads(entry["items"])
    return items
