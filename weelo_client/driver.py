"""The driver's commands: answer an assignment, report the trip, give the truck back.

This module also has the registration of devices for pushes, for every role.
"""

from __future__ import annotations

from typing import Literal, cast
from urllib.parse import quote

from weelo_client.commands import FRESH_KEY, Commands, Key
from weelo_client.customer import given
from weelo_client.shapes import Assignment, Driver, ProviderReason, TripStatus


class DriverCommands(Commands):
    def accept_assignment(
        self, assignment_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Assignment:
        """Accept an assignment.

        409 ASSIGNMENT_EXPIRED once the time to answer has passed, DRIVER_REPLACED if another driver has the trip now.
        """
        path = f"/assignments/{assignment_id}/accept"
        return cast(Assignment, self.command("POST", path, {}, key=key, wait=wait).value())

    def decline_assignment(
        self,
        assignment_id: str,
        reason: str | None = None,
        reason_code: ProviderReason | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Assignment:
        """Decline an assignment. Its slot is offered to other transporters again."""
        body = given(reason=reason, reasonCode=reason_code)
        path = f"/assignments/{assignment_id}/decline"
        return cast(Assignment, self.command("POST", path, body, key=key, wait=wait).value())

    def give_back(
        self,
        assignment_id: str,
        reason_code: ProviderReason,
        note: str | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Assignment:
        """Give a truck back before it has loaded, as its driver or its transporter. Repeating it succeeds.

        The slot is offered to other fleets at once, or expires after REOFFER_ROUNDS new searches. This fleet never gets it
        again. 409 INVALID_TRANSITION once the truck has loaded, and for a driver who has not accepted yet.
        """
        body = {"reasonCode": reason_code, **given(note=note)}
        path = f"/assignments/{assignment_id}/give-back"
        return cast(Assignment, self.command("POST", path, body, key=key, wait=wait).value())

    def report_no_show(
        self,
        assignment_id: str,
        note: str | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Assignment:
        """Report that the customer did not come to the pickup. The trip ends; truck and driver are free.

        409 TOO_EARLY (`retryAfter`, in seconds) until the truck has waited for PICKUP_WAIT_SECONDS.
        """
        path = f"/assignments/{assignment_id}/no-show"
        return cast(Assignment, self.command("POST", path, given(note=note), key=key, wait=wait).value())

    def report_trip(
        self,
        trip_id: str,
        status: TripStatus,
        occurred_at: str | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Assignment:
        """Advance the trip's status. Statuses may be skipped or repeated; an earlier one is 409 INVALID_TRANSITION.

        `occurred_at`: when the status was reached, in RFC 3339 by the phone's clock, for a report that is sent later.
        """
        body = {"status": status, **given(occurredAt=occurred_at)}
        done = self.command("PUT", f"/trips/{trip_id}/status", body, key=key, wait=wait)
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
