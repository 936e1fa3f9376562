"""What became of a command, and one's own event log."""

from typing import Any
from uuid import UUID

from flask import Response, jsonify
from pydantic import BaseModel, Field

from weelo_api.access import anyone, caller
from weelo_api.gateway import find
from weelo_api.views.parts import ById, PageOf, blueprint, found, reading
from weelo_workers.contracts.notifications import CommandOutcome
from weelo_workers.contracts.rejections import Code
from weelo_workers.queries import log

api = blueprint("notifications")


class Frame(BaseModel):
    """A line of the log; `data` is described in /asyncapi.json under the event's name."""

    id: UUID
    seq: int
    event: str
    at: str
    data: dict[str, Any]


class After(BaseModel):
    after: int = Field(default=0, ge=0, le=2**63 - 1)
    limit: int = Field(default=100, ge=1, le=500)


@api.get("/commands/<id>", responses={200: CommandOutcome})
@anyone
def command(path: ById) -> Response:
    """The outcome of one's own command."""
    outcome = find(path.id, caller())
    return found(outcome.json_dict() if outcome else None, Code.NOT_FOUND)


@api.get("/events", responses={200: PageOf[Frame]})
@anyone
def events(query: After) -> Response:
    """One's own log after `after`, oldest first: the same frames that the socket carries."""
    with reading() as session:
        frames = log.lines_after(session.connection(), caller().id, query.after, query.limit)
    full = len(frames) == query.limit
    return jsonify({"items": frames, "nextCursor": str(frames[-1]["seq"]) if full else None})
