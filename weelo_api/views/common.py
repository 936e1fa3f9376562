"""What routes share: path and query models, database sessions, JSON responses, blueprints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, Literal, TypeVar
from uuid import UUID

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from sqlalchemy.orm import Session

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.schemas import schema_without_serializer
from weelo_workers.contracts.wire import Timestamp, Wire
from weelo_workers.models.engine import autocommit_engine, read_engine
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
    status: Literal["pending", "succeeded", "rejected"]
    accepted_at: Timestamp
    server_time: Timestamp
    replayed: bool = False


class AcceptedAgain(Accepted):
    """202 for a repeated request: with what is known of the outcome."""

    http_status: int | None
    received_at: Timestamp
    settled_at: Timestamp | None
    result: Any | None
    error: dict[str, Any] | None

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return schema_without_serializer(core_schema, handler, optional=("result", "error"))


class PageOf(Wire, Generic[Item]):
    """One page of a list; `nextCursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None


class Api(APIBlueprint):
    """A blueprint that keeps the declared responses with each view. flask-openapi3 validates requests, and describes nothing."""

    def _collect_openapi_info(self, rule: str, func: Any, *, responses: Any = None, **options: Any) -> Any:
        func.responses = responses or {}
        return super()._collect_openapi_info(rule, func, responses=responses, **{**options, "doc_ui": False})


def blueprint(domain: str) -> Api:
    return Api(domain, __name__, url_prefix="/api/v1")


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


def page(items: Page) -> Response:
    return jsonify(items.json_dict())
