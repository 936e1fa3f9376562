"""The base classes of events, which are written into the logs of users.

Each subclass of `Event` declares the `data` of one kind of frame. Only `notifications/catalog.py` decides which users
receive the event.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from pydantic import SerializerFunctionWrapHandler, model_serializer

from weelo_workers.contracts.recipients import Recipients
from weelo_workers.contracts.statuses import BroadcastKind, BroadcastStatus
from weelo_workers.contracts.wire import Timestamp, Wire


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
    """Base of events about a broadcast. By `version` an app can tell which of two events is the newer one."""

    broadcast_id: UUID
    kind: BroadcastKind
    status: BroadcastStatus
    state_changed_at: Timestamp
    version: int

    @model_serializer(mode="wrap")
    def _with_the_id_by_kind(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Apps know a booking by bookingId and an order by orderId; both are the broadcast's id.
        data: dict[str, Any] = serialize(self)
        data["bookingId" if self.kind is BroadcastKind.BOOKING else "orderId"] = data.get(
            "broadcastId", self.broadcast_id
        )
        return data
