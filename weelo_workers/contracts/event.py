"""The base classes of events, which are written into the logs of users.

Each subclass of `Event` declares the `data` of one kind of frame. Only `notifications/catalog.py` decides which users
receive the event.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import GetJsonSchemaHandler, SerializerFunctionWrapHandler, model_serializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from weelo_workers.contracts.recipients import Recipients
from weelo_workers.contracts.statuses import BroadcastKind, BroadcastStatus
from weelo_workers.contracts.wire import BroadcastId, StateChangedAt, Version, Wire


class Event(Wire):
    """Base of all events. The class name is the internal name; the catalog has the name on the wire."""

    REGISTRY: ClassVar[dict[str, type[Event]]] = {}

    recipients: ClassVar[type[Recipients]] = Recipients
    """The type of the recipients that are stored with the event."""

    def __init_subclass__(
        cls, *, shared: bool = False, to: type[Recipients] | None = None, **kwargs: object
    ) -> None:
        """Register a subclass. `shared`: the class is only a base of other events. `to`: the value of `recipients`."""
        super().__init_subclass__(**kwargs)  # type: ignore[arg-type]
        if to is not None:
            cls.recipients = to
        if not shared:
            Event.REGISTRY[cls.__name__] = cls


class AboutBroadcast(Event, shared=True):
    """Base of events about a broadcast. Of two such events, the one with the higher `version` is the newer one."""

    broadcast_id: BroadcastId
    kind: BroadcastKind
    """Whether the broadcast is a booking or an order."""
    status: BroadcastStatus
    """The status of the broadcast after this event."""
    state_changed_at: StateChangedAt
    version: Version

    @model_serializer(mode="wrap")
    def _with_the_id_by_kind(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Apps know a booking by bookingId and an order by orderId; both are the broadcast's id.
        data: dict[str, Any] = serialize(self)
        data["bookingId" if self.kind is BroadcastKind.BOOKING else "orderId"] = data.get(
            "broadcastId", self.broadcast_id
        )
        return data

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        for kind, name in ((BroadcastKind.BOOKING, "bookingId"), (BroadcastKind.ORDER, "orderId")):
            handler.resolve_ref_schema(schema)["properties"][name] = {
                "type": "string",
                "format": "uuid",
                "description": f"The same as `broadcastId`. Only events about {kind}s have this field.",
                "examples": ["6f1c1b9e-3d52-4f0a-9c07-2b8d4b1f7a10"],
            }
        return schema
