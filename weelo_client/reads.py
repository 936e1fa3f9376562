"""Reading: what is, and what was. Somebody else's object is `Rejected` with 404, as if it did not exist."""

from __future__ import annotations

from typing import cast

from weelo_client.commands import Commands
from weelo_client.errors import Rejected
from weelo_client.shapes import (
    Assignment,
    Availability,
    Broadcast,
    Driver,
    LoggedEvent,
    Offer,
    TimelineEntry,
    Vehicle,
    VehicleKind,
)


class Reads(Commands):
    # --- customer; transporters may read broadcasts that they were told of --------------------------------

    def broadcast(self, broadcast_id: str) -> Broadcast:
        return cast(Broadcast, self.get(f"/broadcasts/{broadcast_id}"))

    def booking(self, booking_id: str) -> Broadcast:
        return cast(Broadcast, self.get(f"/bookings/{booking_id}"))

    def order(self, order_id: str) -> Broadcast:
        return cast(Broadcast, self.get(f"/orders/{order_id}"))

    def current_broadcast(self) -> Broadcast | None:
        """The customer's open request, None if there is none."""
        try:
            return cast(Broadcast, self.get("/broadcasts/current"))
        except Rejected as refused:
            if refused.status == 404:
                return None
            raise

    def broadcasts(self, limit: int | None = None) -> list[Broadcast]:
        """The customer's own requests, newest first."""
        return self.items("/broadcasts", limit)

    def timeline(self, broadcast_id: str) -> list[TimelineEntry]:
        """Every transition in order, with its cause. For the owner and for admins."""
        return self.items(f"/broadcasts/{broadcast_id}/timeline")

    # --- transporter and driver ---------------------------------------------------------------------------

    def offers(self, limit: int | None = None) -> list[Offer]:
        """The transporter's list: what is open and may be accepted."""
        return self.items("/offers", limit)

    def assignments(self, limit: int | None = None) -> list[Assignment]:
        return self.items("/assignments", limit)

    def vehicles(self, limit: int | None = None) -> list[Vehicle]:
        return self.items("/vehicles", limit)

    def drivers(self, limit: int | None = None) -> list[Driver]:
        return self.items("/drivers", limit)

    def availability(self) -> Availability:
        return cast(Availability, self.get("/transporter/availability"))

    # --- anybody ------------------------------------------------------------------------------------------

    def vehicle_kinds(self) -> list[VehicleKind]:
        """What can be asked for and registered. Another kind is a 400 that names the nearest ones."""
        return self.items("/vehicle-kinds")

    def events(self, after: int = 0, limit: int | None = None) -> list[LoggedEvent]:
        """One's own log after `after`, in order: what a socket would have carried. One page of up to `limit` (at most
        500, by default 100); go on after its last `seq`. Is its first not `after + 1`, the rest was too old to keep."""
        page = self.get("/events", after=after, limit=limit)
        return cast(list[LoggedEvent], page["items"])
