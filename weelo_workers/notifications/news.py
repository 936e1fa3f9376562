"""News: lines just written, on their way to whichever API process holds the reader's socket.

A Redis stream read by every API process. It may be lost or cut short: the log in PostgreSQL is the
truth, and whoever holds a socket compares with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from weelo_workers.contracts.wire import rfc3339
from weelo_workers.redis_client import redis

STREAM = "weelo:news"
# Some seconds' worth at full load: readers are milliseconds behind, and who is further behind asks the log.
KEEP = 1_000
# Apart, so that a thousand trucks on the road push nobody's news out.
OF_THE_MOMENT = "weelo:news:of-the-moment"


@dataclass(frozen=True, slots=True)
class Item:
    """One event and its readers: user id → (seq, what is the reader's alone)."""

    id: UUID
    event: str
    at: datetime
    data: dict[str, Any]
    to: dict[str, tuple[int, dict[str, Any] | None]]


def spread(items: Sequence[Item]) -> None:
    """Announce lines that have been committed."""
    text = json.dumps(
        [{"id": str(i.id), "event": i.event, "at": rfc3339(i.at), "data": i.data, "to": i.to} for i in items],
        separators=(",", ":"),
    )
    redis().xadd(STREAM, {"items": text}, maxlen=KEEP, approximate=True)


def mention(user_id: UUID, event: str, data: dict[str, Any]) -> None:
    """Something of the moment, for whoever of this user's sockets is open: it has no number and no log."""
    text = json.dumps(
        [{"event": event, "data": data, "to": {str(user_id): (None, None)}}], separators=(",", ":")
    )
    redis().xadd(OF_THE_MOMENT, {"items": text}, maxlen=KEEP, approximate=True)


def read(entry: dict[str, str]) -> list[dict[str, Any]]:
    """The items of one stream entry: `{id, event, at, data, to: {user id: [seq, own]}}`. Without a `seq` it is
    a mention, `{event, data, to}`."""
    items: list[dict[str, Any]] = json.loads(entry["items"])
    return items
