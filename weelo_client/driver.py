"""The driver's commands: answer an assignment, report the trip. Also, for every role, the registration for pushes."""

from __future__ import annotations

from typing import Literal, cast
from urllib.parse import quote

from weelo_client.commands import FRESH_KEY, Commands, Key
from weelo_client.customer import given
from weelo_client.shapes import Assignment, Driver, TripStatus


class DriverCommands(Commands):
    def accept_assignment(
        self, assignment_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Assignment:
        """Accept an assignment. 409 ASSIGNMENT_EXPIRED once the time to answer has passed."""
        path = f"/assignments/{assignment_id}/accept"
        return cast(Assignment, self.command("POST", path, {}, key=key, wait=wait).value())

    def decline_assignment(
        self,
        assignment_id: str,
        reason: str | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Assignment:
        """Decline an assignment. Its slot is offered to other transporters again."""
        path = f"/assignments/{assignment_id}/decline"
        return cast(Assignment, self.command("POST", path, given(reason=reason), key=key, wait=wait).value())

    def report_trip(
        self, trip_id: str, status: TripStatus, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Assignment:
        """Advance the trip's status. Statuses may be skipped or repeated; an earlier one is 409 INVALID_TRANSITION."""
        done = self.command("PUT", f"/trips/{trip_id}/status", {"status": status}, key=key, wait=wait)
        return cast(Assignment, done.value())

    def report_location(
        self,
        trip_id: str,
        latitude: float,
        longitude: float,
        *,
        speed: float | None = None,
        bearing: float | None = None,
        recorded_at: str | None = None,
    ) -> None:
        """Report the truck's position in degrees; the customer gets `location_updated`.

        `speed` in km/h, `bearing` in degrees from north, `recorded_at` in RFC 3339 (by default now).
        """
        body = {"latitude": latitude, "longitude": longitude}
        self.send_telemetry(
            f"/trips/{trip_id}/location", body | given(speed=speed, bearing=bearing, recordedAt=recorded_at)
        )

    def set_driver_availability(
        self, is_available: bool, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Driver:
        """Go on or off duty. A truck cannot be accepted with a driver who is off duty. The transporter is notified."""
        body = {"isAvailable": is_available}
        return cast(Driver, self.command("PUT", "/driver/availability", body, key=key, wait=wait).value())

    # --- any role -----------------------------------------------------------------------------------------

    def register_device(
        self,
        device_token: str,
        platform: Literal["android", "ios"],
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> None:
        """Register a device for pushes, which are sent while no socket is open."""
        path = f"/devices/{quote(device_token, safe='')}"
        self.command("PUT", path, {"platform": platform}, key=key, wait=wait).value()

    def forget_device(
        self, device_token: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> None:
        """Stop pushes to a device, for example when the user signs out."""
        self.command("DELETE", f"/devices/{quote(device_token, safe='')}", key=key, wait=wait).value()
