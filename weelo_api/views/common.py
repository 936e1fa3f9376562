"""What routes share: path and query models, database sessions, JSON responses, blueprints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from flask import Response, jsonify, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.wire import Timestamp, Wire
from weelo_workers.models.engine import autocommit_engine, read_engine
from weelo_workers.queries.broadcasts import Found
from weelo_workers.queries.pages import Page, PageRequest

Item = TypeVar("Item")


class ById(BaseModel):
    id: UUID


class Query(BaseModel):
    """Base of the models of query strings."""

    _schema: ClassVar[dict[str, Any]]

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the schema. Without arguments it is generated once, because flask-openapi3 reads it in every request."""
        if args or options:
            return super().model_json_schema(*args, **options)
        if "_schema" not in cls.__dict__:
            cls._schema = super().model_json_schema()
        return cls._schema


class Paging(Query):
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=200)

    def page_request(self) -> PageRequest:
        return PageRequest(self.limit, self.cursor)


class Accepted(Wire):
    """202: the command is stored and will be executed."""

    command_id: UUID
    command: str
    status: str
    accepted_at: Timestamp
    server_time: Timestamp
    replayed: bool = False


class PageOf(Wire, Generic[Item]):
    """One page of a list; `nextCursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool


def _documented(statuses: dict[str, str]) -> dict[Any, Any]:
    schema = Problem.model_json_schema()
    return {
        status: {"description": text, "content": {"application/problem+json": {"schema": schema}}}
        for status, text in statuses.items()
    }


PROBLEMS = _documented(
    {
        "400": "Not valid",
        "401": "Not signed in",
        "403": "Not for this role",
        "404": "Not found, or somebody else's",
        "503": "Cannot be answered at the moment; retry after Retry-After",
    }
)
PROBLEMS_OF_BODIES = _documented({"413": "Larger than 64 KiB", "415": "Not application/json in UTF-8"})


PROBLEMS_OF_COMMANDS = _documented(
    {
        "409": "Rejected, with Prefer: wait; the code names the reason",
        "422": "The Idempotency-Key belongs to another request",
        "429": "Too many requests; retry after Retry-After",
    }
)


def document_errors(description: dict[str, Any]) -> None:
    """Document errors of bodies (413, 415) and commands (409, 422, 429) in the operations that can return them."""
    for operations in description["paths"].values():
        for operation in operations.values():
            if "requestBody" in operation:
                operation["responses"].update(PROBLEMS_OF_BODIES)
            if "202" in operation["responses"]:
                operation["responses"].update(PROBLEMS_OF_COMMANDS)


def blueprint(domain: str) -> APIBlueprint:
    return APIBlueprint(
        domain,
        __name__,
        url_prefix="/api/v1",
        abp_tags=[Tag(name=domain)],
        abp_security=[{"jwt": []}],
        abp_responses=PROBLEMS,
    )


@contextmanager
def replica_session() -> Iterator[Session]:
    """Yield a session on the replica (DATABASE_READ_URL), or on the primary if there is no replica."""
    with Session(read_engine()) as session:
        yield session


@contextmanager
def primary_session() -> Iterator[Session]:
    """Yield a session on the primary, because a replica may lag behind what the caller has seen."""
    with Session(autocommit_engine()) as session:
        yield session


def json_or_404(thing: dict[str, Any] | None, code: Code) -> Response:
    """Return the object as JSON. Raises Rejected(code) if it is None."""
    if thing is None:
        raise Rejected(code)
    return jsonify(thing)


def has_tag(tag: str) -> bool:
    """Return whether the client has the response of this ETag (`If-None-Match`, RFC 9110, section 13.1.2)."""
    return request.if_none_match.contains_weak(tag)


def tagged(found: Found | None, code: Code) -> Response:
    """Return the view with its ETag, or 304 without a body if the client has it. Raises Rejected(code) if it is None."""
    if found is None:
        raise Rejected(code)
    response = Response(status=304) if found.view is None else jsonify(found.view)
    response.set_etag(found.tag, weak=True)
    # The client may keep it, and has to ask whether it is still right. Caches of others may not keep it.
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def page(items: Page) -> Response:
    return jsonify(items.json_dict())
