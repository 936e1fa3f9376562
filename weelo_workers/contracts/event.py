"""What an event is: a fact about the past, told to people by the notifier.

Each class below `Event` declares the `data` of one kind of frame. Whom it is told to stands in
`notifications/catalog.py`, nowhere else.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from pydantic import SerializerFunctionWrapHandler, model_serializer

from weelo_workers.contracts.recipients import Recipients
from weelo_workers.contracts.statuses import BroadcastKind, BroadcastStatus
from weelo_workers.contracts.wire import Timestamp, Wire


class Event(Wire):
    """Base of all events. The class name is the event's name inside; the catalog knows its wire name."""

    REGISTRY: ClassVar[dict[str, type[Event]]] = {}

    recipients: ClassVar[type[Recipients]] = Recipients
    """What the event is published with."""

    def __init_subclass__(
        cls, *, shared: bool = False, to: type[Recipients] | None = None, **kwargs: object
    ) -> None:
        """`shared`: a base that other events have in common, and no event itself. `to`: sets `recipients`."""
        super().__init_subclass__(**kwargs)  # type: ignore[arg-type]
        if to is not None:
            cls.recipients = to
        if not shared:
            Event.REGISTRY[cls.__name__] = cls


class AboutBroadcast(Event, shared=True):
    """An event about a broadcast carries enough of it for an app to know what it concerns and how new it is."""

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
