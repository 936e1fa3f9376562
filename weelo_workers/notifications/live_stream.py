"""News: lines just written, on their way to whichever API process holds the reader's socket.

A Redis stream read by every API process. It may be lost or cut short: the log in PostgreSQL is the
truth, and whoever holds a socket compares with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from weelo_workers.contracts.wire import rfc3339
from weelo_workers.redis_client import redis

STREAM_KEY = "weelo:news"
# Some seconds' worth at full load: readers are milliseconds behind, and who is further behind asks the log.
KEEP = 1_000
# Of all that is kept no more than 64 MB, an eighth of what Redis has in Compose: unbounded, a ring that tells 250 fleets
# of 50 slots is 499 KB (measured), and a thousand of those fill it.
ENTRY_BYTES = 64_000
# Apart, so that a thousand trucks on the road push nobody's news out.
EPHEMERAL = "weelo:news:of-the-moment"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event and its readers: user id → (seq, what is the reader's alone)."""

    id: UUID
    event: str
    at: datetime
    data: dict[str, Any]
    to: dict[str, tuple[int, dict[str, Any] | None]]


def publish(items: Sequence[StreamEvent]) -> None:
    """Announce lines that have been committed."""
    with redis().pipeline(transaction=False) as pipe:
        for text in _entries(items):
            pipe.xadd(STREAM_KEY, {"items": text}, maxlen=KEEP, approximate=True)
        pipe.execute()


def _entries(items: Sequence[StreamEvent]) -> Iterator[str]:
    """What is too long for one entry in several, by halves: of its items, or of the readers of the only one."""
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
    """Something of the moment, for whoever of this user's sockets is open: it has no number and no log."""
    text = json.dumps(
        [{"event": event, "data": data, "to": {str(user_id): (None, None)}}], separators=(",", ":")
    )
    redis().xadd(EPHEMERAL, {"items": text}, maxlen=KEEP, approximate=True)


def decode(entry: dict[str, str]) -> list[dict[str, Any]]:
    """The items of one stream entry: `{id, event, at, data, to: {user id: [seq, own]}}`. Without a `seq` it is
    a mention, `{event, data, to}`."""
    items: list[dict[str, Any]] = json.loads(entry["items"])
    return items
