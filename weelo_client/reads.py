"""The client's reads. For another user's object they raise `Rejected` with 404, as if the object did not exist."""

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
    Reason,
    TimelineEntry,
    Vehicle,
    VehicleKind,
)


class Reads(Commands):
    # --- customer; transporters may read broadcasts that they were offered --------------------------------

    def broadcast(self, broadcast_id: str) -> Broadcast:
        return cast(Broadcast, self.get(f"/broadcasts/{broadcast_id}"))

    def booking(self, booking_id: str) -> Broadcast:
        return cast(Broadcast, self.get(f"/bookings/{booking_id}"))

    def order(self, order_id: str) -> Broadcast:
        return cast(Broadcast, self.get(f"/orders/{order_id}"))

    def current_broadcast(self) -> Broadcast | None:
        """Return the customer's open broadcast, or None."""
        try:
            return cast(Broadcast, self.get("/broadcasts/current"))
        except Rejected as refused:
            if refused.status == 404:
                return None
            raise

    def broadcasts(self, limit: int | None = None) -> list[Broadcast]:
        """Return the customer's own broadcasts, newest first."""
        return self.items("/broadcasts", limit)

    def timeline(self, broadcast_id: str) -> list[TimelineEntry]:
        """Return every transition with its cause, oldest first. For the broadcast's customer and admins."""
        return cast(list[TimelineEntry], self.get(f"/broadcasts/{broadcast_id}/timeline")["items"])

    # --- transporter and driver ---------------------------------------------------------------------------

    def offers(self, limit: int | None = None) -> list[Offer]:
        """Return the transporter's open offers, which may be accepted."""
        return self.items("/offers", limit)

    def assignments(self, limit: int | None = None) -> list[Assignment]:
        return self.items("/assignments", limit)

    def vehicles(self, limit: int | None = None) -> list[Vehicle]:
        return self.items("/vehicles", limit)

    def drivers(self, limit: int | None = None) -> list[Driver]:
        return self.items("/drivers", limit)

    def availability(self) -> Availability:
        return cast(Availability, self.get("/transporter/availability"))

    # --- any role -----------------------------------------------------------------------------------------

    def vehicle_kinds(self) -> list[VehicleKind]:
        """Return the kinds that can be requested and registered.

        A request with another kind is rejected with 400, and `detail` names similar ones.
        """
        return cast(list[VehicleKind], self.get("/vehicle-kinds")["items"])

    def reasons(self) -> list[Reason]:
        """Return the reason codes by actor and stage, in the order in which an app lists them."""
        return cast(list[Reason], self.get("/reasons")["items"])

    def events(self, after: int = 0, limit: int | None = None) -> list[LoggedEvent]:
        """Return one page of the user's own log after the `seq` `after`, in order, as the socket sends it.

        A page has up to `limit` lines (at most 500, by default 100). If the first line is not `after + 1`, the lines in
        between were purged.
        """
        page = self.get("/events", after=after, limit=limit)
        return cast(list[LoggedEvent], page["items"])
