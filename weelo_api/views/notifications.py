"""Outcomes of commands, and the caller's event log."""

from typing import Any
from uuid import UUID

from flask import Response, jsonify
from pydantic import BaseModel, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from weelo_api.commands.gateway import find
from weelo_api.http.access import anyone, caller
from weelo_api.views.common import ById, PageOf, Query, blueprint, json_or_404, replica_session
from weelo_workers.contracts.notifications import Seq
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.schemas import schema_without_serializer
from weelo_workers.queries import log

api = blueprint("notifications")


class Frame(BaseModel):
    """A line of the log; `data` is described in /asyncapi.json under the event's name."""

    id: UUID
    seq: int
    event: str
    at: str = Field(json_schema_extra={"format": "date-time"})
    data: dict[str, Any]


class PageOfLog(PageOf[Frame]):
    oldest_seq: int | None = Field(
        default=None, description="only if the next lines were too old to keep: the log begins here"
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return schema_without_serializer(core_schema, handler, optional=("oldestSeq",))


class After(Query):
    after: Seq = 0
    cursor: Seq | None = Field(default=None, description="the last page's `nextCursor`, instead of `after`")
    limit: int = Field(default=100, ge=1, le=500)

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
