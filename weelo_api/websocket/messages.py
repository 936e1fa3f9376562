"""WebSocket frames outside the log: the ops that clients may send, and server frames without a `seq`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from weelo_api.http.json_body import refuse_duplicates
from weelo_workers import clock
from weelo_workers.contracts.fleet import Heartbeat
from weelo_workers.contracts.notifications import Seq
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.wire import Request, rfc3339

MAX_DETAIL = 300  # an error may quote a part of the client's frame, but not all 8 KiB of it


class Auth(Request):
    """Authenticate: in the first frame if the upgrade had no Authorization header; later, to renew the user's token."""

    op: Literal["auth"]
    token: Annotated[str, Field(min_length=1)]


class Resume(Request):
    """Send all events after this `seq` again, then continue live."""

    op: Literal["resume"]
    after: Seq


class Ack(Request):
    """Acknowledge all events up to this `seq`, which then need no push."""

    op: Literal["ack"]
    seq: Seq


class Beat(Heartbeat):
    """A heartbeat with the current position. For transporters and drivers."""

    op: Literal["heartbeat"]


class Ping(Request):
    op: Literal["ping"]


Op = Auth | Resume | Ack | Beat | Ping

_OPS: TypeAdapter[Op] = TypeAdapter(Annotated[Op, Field(discriminator="op")])


def parse(message: str | bytes) -> Op:
    """Return the op that a client has sent. Raises Rejected(VALIDATION_ERROR) for every other frame.

    pydantic's parser limits nesting, so a frame with thousands of nested brackets is rejected like any other invalid
    one.
    """
    if isinstance(message, bytes):
        raise Rejected(Code.VALIDATION_ERROR, "Send text frames.")
    refuse_duplicates(message)
    try:
        return _OPS.validate_json(message, by_name=False)
    except ValidationError as refused:
        raise Rejected(Code.VALIDATION_ERROR, _first(refused)) from None


def _names() -> list[str]:
    return [get_args(op.model_fields["op"].annotation)[0] for op in get_args(Op)]


def ephemeral(event: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return a frame that is no part of the log."""
    return {"event": event, "at": now(), "data": data}


def refusal(rejected: Rejected) -> dict[str, Any]:
    return ephemeral("error", {"code": rejected.code.name, "detail": rejected.detail})


def now() -> str:
    return rfc3339(clock.now())


def _first(refused: ValidationError) -> str:
    error = refused.errors(include_url=False, include_input=False, include_context=False)[0]
    if error["type"].startswith("union_tag"):
        return f"op: Send one of {', '.join(_names())}"
    # The first part of `loc` is the op, the rest is the field.
    field = ".".join(str(part) for part in error["loc"][1:])
    return (f"{field}: {error['msg']}" if field else error["msg"])[:MAX_DETAIL]
