"""Outcomes of commands, and the caller's event log."""

from typing import Annotated, Any
from uuid import UUID

from flask import Response, jsonify
from pydantic import Field

from weelo_api.commands.gateway import find
from weelo_api.http.access import anyone, caller
from weelo_api.views.common import ById, PageOf, Query, blueprint, json_or_404, replica_session
from weelo_workers.contracts.notifications import Seq
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.wire import Timestamp, Wire
from weelo_workers.queries import log

api = blueprint("notifications")


class Frame(Wire):
    """A line of the user's log, equal to the frame that the socket carries."""

    id: Annotated[UUID, Field(examples=["f0c8d2a7-6b1e-4937-8e5d-3a9c7b0f1e64"])]
    """The id of the event, the same for all users who receive it."""
    seq: Annotated[int, Field(examples=[42])]
    """The number of the line in the user's log, from 1, without gaps."""
    event: Annotated[str, Field(examples=["new_broadcast"])]
    """The name of the event."""
    at: Timestamp
    """When the event happened."""
    data: dict[str, Any]
    """The data of the event, which `/asyncapi.json` describes under its name."""


class PageOfLog(PageOf[Frame]):
    """One page of the user's log."""

    may_be_absent = frozenset({"oldestSeq"})

    oldest_seq: Annotated[int | None, Field(examples=[17])] = None
    """The `seq` with which the log begins. Present only if lines between `after` and this one were deleted because of their age."""


class After(Query):
    """Which part of the log to return."""

    after: Seq = 0
    """The last `seq` that the app has. The lines after it are returned."""
    cursor: Seq | None = None
    """The `nextCursor` of the page before, instead of `after`."""
    limit: int = Field(default=100, ge=1, le=500)
    """How many lines a page has at most."""

    def seq(self) -> int:
        return self.after if self.cursor is None else self.cursor


@api.get("/commands/<id>", responses={200: CommandOutcome})
@anyone
def command(path: ById) -> Response:
    """Return the outcome of the caller's own command."""
    outcome = find(path.id, caller())
    return json_or_404(outcome.json_dict() if outcome else None, Code.NOT_FOUND)


@api.get("/events", responses={200: PageOfLog})
@anyone
def events(query: After) -> Response:
    """Return the caller's log after a `seq`, oldest first, as the frames that the socket carries.

    If lines after that `seq` were purged, `oldestSeq` is where the log begins now.
    """
    with replica_session() as session:
        newest = log.newest_seq(session.connection(), caller().id)
        frames = log.lines_after(session.connection(), caller().id, query.seq(), query.limit)
    begins = frames[0]["seq"] if frames else newest + 1
    full = len(frames) == query.limit
    page: dict[str, Any] = {"items": frames, "nextCursor": str(frames[-1]["seq"]) if full else None}
    if begins > query.seq() + 1:
        page["oldestSeq"] = begins
    return jsonify(page)
