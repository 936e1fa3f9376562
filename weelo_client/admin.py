"""The operator's commands. They need a token with the role `admin`."""

from __future__ import annotations

from typing import cast

from weelo_client.commands import FRESH_KEY, Commands, Key
from weelo_client.shapes import Assignment, EndOutcome, Market, OperatorReason


class AdminCommands(Commands):
    def market(self, start: str | None = None, end: str | None = None, area: str | None = None) -> Market:
        """Return the market figures of the requests that were created from `start` until before `end`.

        By default these are the requests of the last 24 hours; at most 31 days. The times are in RFC 3339 with a zone.
        `area`: only the requests of this area.
        """
        query = {"from": start, "to": end, "area": area}
        return cast(Market, self.get("/admin/market", **query))

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
