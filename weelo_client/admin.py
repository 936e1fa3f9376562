"""The operator's reads and commands. They need a token with the role `admin`."""

from __future__ import annotations

from typing import cast

from weelo_client.commands import FRESH_KEY, NO_KEY, Commands, Key
from weelo_client.shapes import (
    Area,
    Assignment,
    AuditEntry,
    Availability,
    Broadcast,
    BroadcastSummary,
    Cancelled,
    EndOutcome,
    Market,
    OperatorReason,
    Policy,
    PolicyPreview,
    PolicySettings,
    PolicyVersion,
    Stuck,
    TransporterDetails,
    TransporterSummary,
)


class AdminCommands(Commands):
    # --- reads --------------------------------------------------------------------------------------------

    def market(self, start: str | None = None, end: str | None = None, area: str | None = None) -> Market:
        """Return the market figures of the requests that were created from `start` until before `end`.

        By default these are the requests of the last 24 hours. A period may have at most 31 days. The times are in RFC
        3339 with a zone. `area`: only the requests of this area.
        """
        query = {"from": start, "to": end, "area": area}
        return cast(Market, self.get("/admin/market", **query))

    def all_broadcasts(
        self,
        *,
        status: str | None = None,
        area: str | None = None,
        text: str | None = None,
        since: str | None = None,
        until: str | None = None,
        kind: str | None = None,
        vehicle_type: str | None = None,
        customer_id: str | None = None,
        limit: int | None = None,
    ) -> list[BroadcastSummary]:
        """Return the broadcasts of all customers, newest first.

        `status`: one status, or `open`. `text`: the beginning of an id, a customer's id, the last digits of a customer's
        telephone number, or a part of an address. `since`, `until`: the time of creation.
        """
        return self.items(
            "/admin/broadcasts",
            limit,
            **{"status": status, "area": area, "q": text, "from": since, "to": until, "kind": kind},
            vehicleType=vehicle_type,
            customerId=customer_id,
        )

    def transporters(
        self, *, text: str | None = None, online: bool | None = None, limit: int | None = None
    ) -> list[TransporterSummary]:
        """Return the transporters, newest first.

        `text`: the beginning of an id, the last digits of a telephone number, a part of the name, or a vehicle's number.
        """
        wanted = None if online is None else str(online).lower()
        return self.items("/admin/transporters", limit, q=text, online=wanted)

    def transporter(self, transporter_id: str) -> TransporterDetails:
        return cast(TransporterDetails, self.get(f"/admin/transporters/{transporter_id}"))

    def stuck(self) -> list[Stuck]:
        """Return everything that is stuck, and what to do about each."""
        return cast(list[Stuck], self.get("/admin/stuck")["items"])

    def audit(
        self,
        *,
        actor_id: str | None = None,
        subject_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
    ) -> list[AuditEntry]:
        """Return the actions of operators, newest first, also those that were refused."""
        period = {"from": since, "to": until}
        return self.items("/admin/audit", limit, actor=actor_id, subject=subject_id, **period)

    def policies(self) -> list[Policy]:
        """Return the policy of each scope with its current version, `default` first."""
        return cast(list[Policy], self.get("/admin/policies")["items"])

    def policy_versions(self, scope: str, *, limit: int | None = None) -> list[PolicyVersion]:
        """Return the versions of a policy, newest first. 404 POLICY_NOT_FOUND if there is no such scope."""
        return self.items(f"/admin/policies/{scope}/versions", limit)

    def preview_policy(
        self,
        scope: str,
        settings: PolicySettings,
        *,
        area: Area | None = None,
        vehicle_types: list[str] | None = None,
    ) -> PolicyPreview:
        """Return what a new version would change. Nothing is stored. 400 for impossible values, with the field."""
        body = {"settings": settings, "area": area, "vehicleTypes": vehicle_types}
        path = f"/admin/policies/{scope}/preview"
        return cast(PolicyPreview, self.command("POST", path, body, key=NO_KEY, wait=0).value())

    # --- commands -----------------------------------------------------------------------------------------

    def cancel_broadcast(
        self, broadcast_id: str, reason: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Cancelled:
        """Cancel a customer's broadcast. 409 BOOKING_CANNOT_CANCEL once a truck has set out: end the trips instead."""
        return cast(Cancelled, self._intervene(broadcast_id, "cancel", reason, key, wait))

    def expire_broadcast(
        self, broadcast_id: str, reason: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Broadcast:
        """Expire an open broadcast now instead of at its deadline."""
        return cast(Broadcast, self._intervene(broadcast_id, "expire", reason, key, wait))

    def widen_broadcast(
        self, broadcast_id: str, reason: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Broadcast:
        """Offer a broadcast in its next ring now. 409 INVALID_TRANSITION if there is none."""
        return cast(Broadcast, self._intervene(broadcast_id, "widen", reason, key, wait))

    def _intervene(
        self, broadcast_id: str, action: str, reason: str, key: str | Key, wait: float | None
    ) -> object:
        path = f"/admin/broadcasts/{broadcast_id}/{action}"
        return self.command("POST", path, {"reason": reason}, key=key, wait=wait).value()

    def put_policy(
        self,
        scope: str,
        settings: PolicySettings,
        reason: str,
        *,
        area: Area | None = None,
        vehicle_types: list[str] | None = None,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Policy:
        """Store the next version of a policy, which replaces the whole version before. New broadcasts begin with it.

        Without `area` it is in force everywhere, without `vehicle_types` for all types; one of them is needed for every
        scope but `default`. `reason` is kept for ever and must not name a person. 400 for impossible values, with the field.
        """
        body = {"settings": settings, "area": area, "vehicleTypes": vehicle_types, "reason": reason}
        return cast(Policy, self.command("PUT", f"/admin/policies/{scope}", body, key=key, wait=wait).value())

    def pause_policy(
        self, scope: str, paused: bool, reason: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Policy:
        """Refuse new requests in a scope with 503 AREA_PAUSED, or accept them again. Open broadcasts go on."""
        body = {"paused": paused, "reason": reason}
        path = f"/admin/policies/{scope}/paused"
        return cast(Policy, self.command("PUT", path, body, key=key, wait=wait).value())

    def set_transporter_availability(
        self,
        transporter_id: str,
        is_available: bool,
        reason: str,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Availability:
        """Put a transporter online or offline.

        409 TRANSPORTER_SILENT if the transporter is to go online, but the app is not running.
        """
        body = {"isAvailable": is_available, "reason": reason}
        path = f"/admin/transporters/{transporter_id}/availability"
        return cast(Availability, self.command("PUT", path, body, key=key, wait=wait).value())

    def end_trip(
        self,
        assignment_id: str,
        outcome: EndOutcome,
        reason_code: OperatorReason,
        note: str,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Assignment:
        """End a trip as completed or as failed, in every status before its end. Truck and driver are free again.

        `note` must not be empty. 409 INVALID_TRANSITION if the trip has ended in another way.
        """
        body = {"outcome": outcome, "reasonCode": reason_code, "note": note}
        path = f"/assignments/{assignment_id}/end"
        return cast(Assignment, self.command("POST", path, body, key=key, wait=wait).value())
