"""What travels over the socket besides the log: what clients may say, and the answers that carry no `seq`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from weelo_api.json_body import refuse_duplicates
from weelo_workers.contracts.fleet import Heartbeat
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.wire import Request, rfc3339

MAX_DETAIL = 300  # an error may quote what was sent, but not all 8 KiB of it

Seq = Annotated[int, Field(ge=0, le=2**63 - 1)]  # PostgreSQL's bigint


class Auth(Request):
    """Who speaks: the first frame where no header says it; later, a fresh token of the same user."""

    op: Literal["auth"]
    token: Annotated[str, Field(min_length=1)]


class Resume(Request):
    """Send everything later than this once more, then go on live."""

    op: Literal["resume"]
    after: Seq


class Ack(Request):
    """Everything up to this has arrived: no push needs to tell it again."""

    op: Literal["ack"]
    seq: Seq


class Beat(Heartbeat):
    """I am here. For transporters and drivers."""

    op: Literal["heartbeat"]


class Ping(Request):
    op: Literal["ping"]


Op = Auth | Resume | Ack | Beat | Ping

_OPS: TypeAdapter[Op] = TypeAdapter(Annotated[Op, Field(discriminator="op")])


def parse(message: str | bytes) -> Op:
    """What the client says. Raises Rejected(VALIDATION_ERROR), whatever the frame holds.

    pydantic's parser has a bound on nesting of its own: thousands of brackets are an error like any other.
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
    """A frame that is no part of the log."""
    return {"event": event, "at": now(), "data": data}


def refusal(rejected: Rejected) -> dict[str, Any]:
    return ephemeral("error", {"code": rejected.code.name, "detail": rejected.detail})


def now() -> str:
    return rfc3339(datetime.now(UTC))


def _first(refused: ValidationError) -> str:
    error = refused.errors(include_url=False, include_input=False, include_context=False)[0]
    if error["type"].startswith("union_tag"):
        return f"op: Send one of {', '.join(_names())}"
    # The first step of a place is which op it was; what is left is the field.
    field = ".".join(str(part) for part in error["loc"][1:])
    return (f"{field}: {error['msg']}" if field else error["msg"])[:MAX_DETAIL]
