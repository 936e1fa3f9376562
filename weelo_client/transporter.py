"""The transporter's commands: register the fleet, go online, accept and hold slots, replace trucks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote

from weelo_client.commands import FRESH_KEY, Commands, Key
from weelo_client.customer import given
from weelo_client.shapes import (
    Accepted,
    Assignment,
    Availability,
    Driver,
    HeldTruck,
    Hold,
    ProviderReason,
    Truck,
    Vehicle,
)


class TransporterCommands(Commands):
    # --- the fleet ----------------------------------------------------------------------------------------

    def register_vehicle(
        self,
        vehicle_number: str,
        vehicle_type: str,
        vehicle_subtype: str,
        capacity_kg: int | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Vehicle:
        """Register a vehicle, or correct its details. 409 VEHICLE_EXISTS if it is another fleet's."""
        body = {
            "vehicleType": vehicle_type,
            "vehicleSubtype": vehicle_subtype,
            **given(capacityKg=capacity_kg),
        }
        path = f"/vehicles/{quote(vehicle_number, safe='')}"
        return cast(Vehicle, self.command("PUT", path, body, key=key, wait=wait).value())

    def register_driver(
        self,
        driver_id: str,
        name: str,
        phone: str,
        license_number: str | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Driver:
        """Add a driver to the fleet, or correct their details. 409 DRIVER_EXISTS if they are in another fleet."""
        body = {"name": name, "phone": phone, **given(licenseNumber=license_number)}
        return cast(Driver, self.command("PUT", f"/drivers/{driver_id}", body, key=key, wait=wait).value())

    def set_availability(
        self, is_available: bool, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Availability:
        """Go online or offline for offers. To get offers, also send a `heartbeat`.

        429 TOGGLE_RATE_LIMITED if called too often.
        """
        body = {"isAvailable": is_available}
        done = self.command("PUT", "/transporter/availability", body, key=key, wait=wait)
        return cast(Availability, done.value())

    def heartbeat(self, latitude: float, longitude: float) -> None:
        """Report the position. Offers stop after a minute (PRESENCE_TTL_SECONDS) without a heartbeat."""
        self.send_telemetry("/transporter/heartbeat", {"latitude": latitude, "longitude": longitude})

    # --- offers -------------------------------------------------------------------------------------------

    def accept(
        self,
        broadcast_id: str,
        vehicle_id: str,
        driver_id: str,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Accepted:
        """Accept one slot.

        Rejected with BROADCAST_FILLED, BROADCAST_CANCELLED, BROADCAST_EXPIRED, REQUEST_ALREADY_TAKEN (with `remaining`,
        the number of open slots that the truck fits), SLOT_GIVEN_BACK, DRIVER_BUSY, VEHICLE_BUSY or
        VEHICLE_TYPE_MISMATCH.
        """
        return self._accept(f"/broadcasts/{broadcast_id}", _one(vehicle_id, driver_id), key, wait)

    def accept_trucks(
        self,
        broadcast_id: str,
        trucks: Sequence[Truck],
        *,
        partial: bool = False,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Accepted:
        """Accept several slots: all of them or none, or with `partial` as many as are open."""
        body: dict[str, Any] = {"trucks": list(trucks), **({"partial": True} if partial else {})}
        return self._accept(f"/broadcasts/{broadcast_id}", body, key, wait)

    def accept_truck_request(
        self,
        truck_request_id: str,
        vehicle_id: str,
        driver_id: str,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Accepted:
        """Accept the slot with this id, and no other slot of its broadcast."""
        return self._accept(f"/truck-requests/{truck_request_id}", _one(vehicle_id, driver_id), key, wait)

    def decline(
        self,
        broadcast_id: str,
        reason: str | None = None,
        reason_code: ProviderReason | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> None:
        """Decline a broadcast. Declining it again succeeds."""
        body = given(reason=reason, reasonCode=reason_code)
        self.command("POST", f"/broadcasts/{broadcast_id}/decline", body, key=key, wait=wait).value()

    def _accept(self, of: str, body: dict[str, Any], key: str | Key, wait: float | None) -> Accepted:
        return cast(Accepted, self.command("POST", f"{of}/accept", body, key=key, wait=wait).value())

    # --- holds --------------------------------------------------------------------------------------------

    def hold(
        self,
        broadcast_id: str,
        quantity: int,
        vehicle_type: str | None = None,
        vehicle_subtype: str | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Hold:
        """Hold slots until `expiresAt`. Until then no other transporter can take them.

        409 NOT_ENOUGH_AVAILABLE if too few slots are open or your fleet has too few free trucks.
        """
        body = {"quantity": quantity, **given(vehicleType=vehicle_type, vehicleSubtype=vehicle_subtype)}
        return cast(
            Hold, self.command("POST", f"/broadcasts/{broadcast_id}/hold", body, key=key, wait=wait).value()
        )

    def confirm_hold(
        self,
        hold_id: str,
        trucks: Sequence[HeldTruck],
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Accepted:
        """Assign trucks to the held slots. Held slots that get no truck are open to other transporters again.

        409 HOLD_EXPIRED if the hold has expired.
        """
        body = {"assignments": list(trucks)}
        return cast(
            Accepted, self.command("POST", f"/holds/{hold_id}/confirm", body, key=key, wait=wait).value()
        )

    def release_hold(self, hold_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None) -> Hold:
        """Release a hold before it expires. Releasing it again succeeds. 409 INVALID_TRANSITION if it was confirmed."""
        return cast(Hold, self.command("POST", f"/holds/{hold_id}/release", {}, key=key, wait=wait).value())

    # --- assigned trucks (see also `give_back`) -------------------------------------------------------------

    def replace(
        self,
        assignment_id: str,
        *,
        driver_id: str | None = None,
        vehicle_id: str | None = None,
        reason_code: ProviderReason | None = None,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Assignment:
        """Send another driver, another vehicle or both on the same trip, before the truck has loaded.

        A new driver has to accept the trip first, so the assignment is `pending` again. With only a new vehicle the
        status stays. Rejected with the codes of `accept` for the driver and the vehicle, or INVALID_TRANSITION.
        """
        body = given(driverId=driver_id, vehicleId=vehicle_id, reasonCode=reason_code)
        path = f"/assignments/{assignment_id}/replace"
        return cast(Assignment, self.command("POST", path, body, key=key, wait=wait).value())


def _one(vehicle_id: str, driver_id: str) -> dict[str, Any]:
    return {"vehicleId": vehicle_id, "driverId": driver_id}
