"""What routes share: path and query models, database sessions, JSON responses, blueprints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar
from uuid import UUID

from flask import Response, jsonify, request
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from sqlalchemy.orm import Session

from weelo_workers.contracts.json_schema import tidy
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.wire import CommandId, DeviceTime, Timestamp, Wire
from weelo_workers.models.engine import autocommit_engine, read_engine
from weelo_workers.queries.broadcasts import TaggedView
from weelo_workers.queries.pages import Page, PageRequest

Item = TypeVar("Item")


class Parameters(BaseModel):
    """Base of the models of paths and of query strings."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        for parameter in tidy(handler.resolve_ref_schema(schema))["properties"].values():
            # flask-openapi3 copies `examples` from the schema to the parameter. There OpenAPI has another form for
            # several examples, so a single `example` replaces them.
            if examples := parameter.pop("examples", None):
                parameter["example"] = examples[0]
        return schema


def _as_text(value: Any) -> Any:
    # Numbers are refused here, because pydantic would accept them as seconds since 1970.
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt]", value):
        raise ValueError("must be a date and a time with a zone, such as 2026-02-19T10:00:00Z")
    return value


QueryTime = Annotated[DeviceTime, BeforeValidator(_as_text)]
"""A time in a query string."""


class ById(Parameters):
    """A path with the id of the object that the path names: a booking, an order, an assignment and so on."""

    id: UUID
    """The id of the object that the path names."""


class Query(Parameters):
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
    """Which page of a list to return."""

    limit: int = Field(default=20, ge=1, le=100)
    """How many items a page has at most."""
    cursor: str | None = Field(default=None, max_length=200)
    """The `nextCursor` of the page before. Left out: the first page."""

    def page_request(self) -> PageRequest:
        return PageRequest(self.limit, self.cursor)


class Accepted(Wire):
    """The command is stored and will be executed. Its outcome comes later."""

    command_id: CommandId
    command: Annotated[str, Field(examples=["broadcasts.create_booking"])]
    """The name of the command."""
    status: Literal["pending", "succeeded", "rejected"]
    """`pending`: the command is not executed yet."""
    accepted_at: Timestamp
    """When the command was recorded."""
    server_time: Timestamp
    """The server's time when it sent this."""
    replayed: bool = False
    """True if an earlier request with the same Idempotency-Key recorded the command."""


class AcceptedAgain(Accepted):
    """The command of a repeated request, with its outcome if it is known."""

    http_status: Annotated[int | None, Field(examples=[201])]
    """The HTTP status of the outcome; null while the command is pending."""
    received_at: Timestamp
    """When the command was recorded."""
    settled_at: Timestamp | None
    """When the outcome was recorded; null while the command is pending."""
    result: Any | None
    """What the command returned. Absent while it is pending, and if it was rejected."""
    error: dict[str, Any] | None
    """Why the command was rejected, as problem details (RFC 9457). Absent if it was not rejected."""

    may_be_absent = frozenset({"result", "error"})


class PageOf(Wire, Generic[Item]):
    """One page of a list; `nextCursor` is null on the last."""

    items: list[Item]
    """The items of this page."""
    next_cursor: Annotated[str | None, Field(examples=[None])]
    """The `cursor` of the next page; null on the last page."""


class Api(APIBlueprint):
    """A blueprint that stores the declared responses of each view as an attribute of the view.

    `weelo_api.openapi` reads them to describe the routes; flask-openapi3 only validates requests.
    """

    def _collect_openapi_info(self, rule: str, func: Any, *, responses: Any = None, **options: Any) -> Any:
        func.responses = responses or {}
        return super()._collect_openapi_info(rule, func, responses=responses, **{**options, "doc_ui": False})


def blueprint(domain: str, below: str = "") -> Api:
    """Return a blueprint for the routes of a domain under `/api/v1`. `below`: the part of the path that all of them share."""
    return Api(domain, __name__, url_prefix=f"/api/v1{below}")


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
    """Return the object as JSON. Raises Rejected(code) for None."""
    if thing is None:
        raise Rejected(code)
    return jsonify(thing)


def has_tag(tag: str) -> bool:
    """Return whether the client has the response with this ETag (`If-None-Match`, RFC 9110, section 13.1.2)."""
    return request.if_none_match.contains_weak(tag)


def tagged(found: TaggedView | None, code: Code) -> Response:
    """Return `found` with its ETag, or 304 without a body if the client has it.

    Raises Rejected(code) if `found` is None.
    """
    if found is None:
        raise Rejected(code)
    response = Response(status=304) if found.view is None else jsonify(found.view)
    response.set_etag(found.tag, weak=True)
    # The client may store the response, but must revalidate it before each use. Shared caches must not store it.
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def page(items: Page) -> Response:
    return Response(items.json(), content_type="application/json")
