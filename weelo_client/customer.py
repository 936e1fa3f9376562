"""The customer's commands: request trucks, cancel all or one of them, continue with the trucks that were assigned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from weelo_client.commands import FRESH_KEY, Commands, Key
from weelo_client.shapes import (
    Broadcast,
    Cancelled,
    CancelledTruck,
    CustomerReason,
    Place,
    VehicleRequirement,
)


class CustomerCommands(Commands):
    def create_booking(
        self,
        pickup: Place,
        drop: Place,
        vehicle_type: str,
        vehicle_subtype: str,
        trucks_needed: int,
        *,
        goods_type: str | None = None,
        distance_km: float | None = None,
        price_per_truck: int | None = None,
        notes: str | None = None,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Broadcast:
        """Request trucks of one kind (see `vehicle_kinds`).

        409 ORDER_ACTIVE_EXISTS (`activeBroadcastId`) while another broadcast is open.
        """
        body = {
            "pickup": pickup,
            "drop": drop,
            "vehicleType": vehicle_type,
            "vehicleSubtype": vehicle_subtype,
            "trucksNeeded": trucks_needed,
            **given(goodsType=goods_type, distanceKm=distance_km, pricePerTruck=price_per_truck, notes=notes),
        }
        return cast(Broadcast, self.command("POST", "/bookings", body, key=key, wait=wait).value())

    def create_order(
        self,
        pickup: Place,
        drop: Place,
        vehicle_requirements: Sequence[VehicleRequirement],
        *,
        goods_type: str | None = None,
        distance_km: float | None = None,
        notes: str | None = None,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Broadcast:
        """Request trucks of several kinds, at most 50 trucks in total. The codes are those of `create_booking`."""
        body = {
            "pickup": pickup,
            "drop": drop,
            "vehicleRequirements": list(vehicle_requirements),
            **given(goodsType=goods_type, distanceKm=distance_km, notes=notes),
        }
        return cast(Broadcast, self.command("POST", "/orders", body, key=key, wait=wait).value())

    def cancel_booking(
        self,
        booking_id: str,
        reason: str | None = None,
        reason_code: CustomerReason | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Cancelled:
        """Cancel a booking. Cancelling it again succeeds.

        409 BOOKING_CANNOT_CANCEL once a truck is under way. Then `cancel_truck` cancels single trucks.
        """
        body = given(reason=reason, reasonCode=reason_code)
        path = f"/bookings/{booking_id}/cancel"
        return cast(Cancelled, self.command("PUT", path, body, key=key, wait=wait).value())

    def cancel_order(
        self,
        order_id: str,
        reason: str | None = None,
        reason_code: CustomerReason | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Cancelled:
        """Cancel an order, as `cancel_booking` does."""
        body = given(reason=reason, reasonCode=reason_code)
        path = f"/orders/{order_id}/cancel"
        return cast(Cancelled, self.command("PUT", path, body, key=key, wait=wait).value())

    def cancel_truck(
        self,
        assignment_id: str,
        reason_code: CustomerReason,
        note: str | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> CancelledTruck:
        """Cancel one truck of a booking or an order, also while others are under way. Cancelling it again succeeds.

        With its last truck the broadcast is cancelled. 409 BOOKING_CANNOT_CANCEL once the truck has loaded.
        """
        body = {"reasonCode": reason_code, **given(note=note)}
        path = f"/assignments/{assignment_id}/cancel"
        return cast(CancelledTruck, self.command("POST", path, body, key=key, wait=wait).value())

    def continue_booking(
        self, booking_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Broadcast:
        """Continue an expired booking with only the trucks that were assigned in time."""
        path = f"/bookings/{booking_id}/continue-partial"
        return cast(Broadcast, self.command("POST", path, {}, key=key, wait=wait).value())

    def continue_order(
        self, order_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Broadcast:
        """Continue an expired order, as `continue_booking` does."""
        path = f"/orders/{order_id}/continue-partial"
        return cast(Broadcast, self.command("POST", path, {}, key=key, wait=wait).value())


def given(**fields: Any) -> dict[str, Any]:
    """Return only the fields that have a value, because the API treats null differently from an absent field."""
    return {name: value for name, value in fields.items() if value is not None}
