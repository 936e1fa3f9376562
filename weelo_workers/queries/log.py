"""Queries of the per-user event log: its newest and oldest `seq`, and its lines as frames."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select

from weelo_workers.contracts.notifications import frame
from weelo_workers.contracts.wire import rfc3339
from weelo_workers.models import EventRecord, LogHead, LogLine

Frame = dict[str, Any]


def newest_seq(connection: Connection, user_id: UUID) -> int:
    """Return the `seq` of the newest line ever written for this user; 0 if there was none."""
    return connection.execute(select(LogHead.seq).where(LogHead.user_id == user_id)).scalar() or 0


def newest_seqs(connection: Connection, user_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return `newest_seq` of several users in one query. Users without a log are left out."""
    rows = connection.execute(select(LogHead.user_id, LogHead.seq).where(LogHead.user_id.in_(user_ids)))
    return {row.user_id: row.seq for row in rows}


def bounds(connection: Connection, user_id: UUID) -> tuple[int, int]:
    """Return `seq` of the oldest and the newest line. If all are purged, the oldest is the `seq` of the next line."""
    newest = newest_seq(connection, user_id)
    oldest = connection.execute(select(func.min(LogLine.seq)).where(LogLine.user_id == user_id)).scalar()
    return newest + 1 if oldest is None else oldest, newest


def lines_after(
    connection: Connection, user_id: UUID, after: int, limit: int, events: Collection[str] | None = None
) -> list[Frame]:
    """Return at most `limit` lines with a `seq` greater than `after`, oldest first, as frames of the socket.

    `events`: only the lines with one of these names.
    """
    rows = connection.execute(
        select(LogLine.seq, LogLine.own, EventRecord.id, EventRecord.event, EventRecord.at, EventRecord.data)
        .join(EventRecord, EventRecord.id == LogLine.event_id)
        .where(
            LogLine.user_id == user_id,
            LogLine.seq > after,
            *([] if events is None else [EventRecord.event.in_(events)]),
        )
        .order_by(LogLine.seq)
        .limit(limit)
    )
    frames = []
    for row in rows:
        item = {"id": str(row.id), "event": row.event, "at": rfc3339(row.at), "data": row.data}
        frames.append(frame(item, row.seq, row.own))
    return frames
