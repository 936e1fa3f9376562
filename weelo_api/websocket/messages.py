"""WebSocket frames outside the log: the ops that clients may send, and server frames without a `seq`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError

from weelo_api.http.json_body import refuse_duplicates
from weelo_workers import clock
from weelo_workers.contracts.fleet import Heartbeat
from weelo_workers.contracts.notifications import Seq
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.trips import LocationUpdated
from weelo_workers.contracts.wire import Request, Timestamp, Wire, rfc3339

MAX_DETAIL = 300  # an error may quote a part of the client's frame, but not all 8 KiB of it


class Auth(Request):
    """Authenticate: in the first frame if the upgrade had no Authorization header; later, to renew the user's token."""

    op: Literal["auth"]
    """The name of this frame."""
    token: Annotated[str, Field(min_length=1, examples=["eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"])]
    """The JWT, as in the header Authorization, without `Bearer`."""


class Resume(Request):
    """Send all events after this `seq` again, then continue live."""

    op: Literal["resume"]
    """The name of this frame."""
    after: Annotated[Seq, Field(examples=[41])]
    """The last `seq` that the app has."""


class Ack(Request):
    """Acknowledge all events up to this `seq`, which then need no push."""

    op: Literal["ack"]
    """The name of this frame."""
    seq: Annotated[Seq, Field(examples=[42])]
    """The last `seq` up to which the app has stored everything."""


class Beat(Heartbeat):
    """A heartbeat with the current position. For transporters and drivers."""

    op: Literal["heartbeat"]
    """The name of this frame."""


class Ping(Request):
    """Check that the connection works. The server answers with `pong`."""

    op: Literal["ping"]
    """The name of this frame."""


# --- data of the frames that are no part of the log -----------------------------------------------------


class Connected(Wire):
    """The first frame of every socket: the user is authenticated, and events follow live."""

    user_id: Annotated[UUID, Field(examples=["9c1e4f70-2b6d-4a85-b3c1-7d0e9f2a6b34"])]
    """The id of the user, from the token."""
    role: Role
    """The role of the user, from the token."""
    seq: Annotated[Seq, Field(examples=[41])]
    """The newest `seq` of this user's log; 0 if the log is empty."""
    server_time: Timestamp
    """The time by the server's clock."""
    heartbeat_seconds: Annotated[int, Field(ge=1, examples=[20])]
    """Send the op `heartbeat` (transporters and drivers) or `ping` every so many seconds."""


class Pong(Wire):
    """The answer to the op `ping`."""

    server_time: Timestamp
    """The time by the server's clock."""


class ResyncRequired(Wire):
    """The lines after the requested `seq` are too old and were deleted. Load the present state over HTTP."""

    oldest_seq: Annotated[Seq, Field(examples=[1042])]
    """The oldest `seq` that is left. To receive it, send `resume` with the number before it."""


_REFUSALS = (Code.VALIDATION_ERROR, Code.FORBIDDEN, Code.SERVICE_UNAVAILABLE)


class Refused(Wire):
    """The answer to a message that is not a valid op, or that is not allowed. The socket stays open."""

    code: Annotated[
        str,
        Field(examples=["VALIDATION_ERROR"], json_schema_extra={"enum": [code.name for code in _REFUSALS]}),
    ]
    """The code of the error: the message is not valid, the role may not send it, or the database is not available."""
    detail: Annotated[str, Field(examples=["after: Field required"])]
    """What to correct."""


EPHEMERAL: Mapping[str, type[Wire]] = {
    "connected": Connected,
    "pong": Pong,
    "resync_required": ResyncRequired,
    "location_updated": LocationUpdated,
    "error": Refused,
}
"""The data of each frame that is no part of the log. Such frames have no `id` and no `seq`."""

# --------------------------------------------------------------------------------------------------------

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


def name_of(op: type[Op]) -> str:
    """Return the op's name on the wire."""
    name: str = get_args(op.model_fields["op"].annotation)[0]
    return name


def ephemeral(event: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return a frame that is no part of the log. `data`: of the model that `EPHEMERAL` has for this event."""
    return {"event": event, "at": now(), "data": data}


def refusal(rejected: Rejected) -> dict[str, Any]:
    return ephemeral("error", Refused(code=rejected.code.name, detail=rejected.detail).json_dict())


def now() -> str:
    return rfc3339(clock.now())


def _first(refused: ValidationError) -> str:
    error = refused.errors(include_url=False, include_input=False, include_context=False)[0]
    if error["type"].startswith("union_tag"):
        return f"op: Send one of {', '.join(map(name_of, get_args(Op)))}"
    # The first part of `loc` is the op, the rest is the field.
    field = ".".join(str(part) for part in error["loc"][1:])
    return (f"{field}: {error['msg']}" if field else error["msg"])[:MAX_DETAIL]
