"""Relations: customers block or prefer transporters, transporters block customers, operators record contracts."""

from __future__ import annotations

from typing import Literal, cast

from weelo_client.commands import FRESH_KEY, Commands, Key
from weelo_client.customer import given
from weelo_client.shapes import Relation


class RelationCommands(Commands):
    def set_transporter_relation(
        self,
        transporter_id: str,
        relation: Literal["blocked", "preferred"],
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Relation:
        """Block or prefer a transporter, as a customer. 404 TRANSPORTER_NOT_FOUND.

        A block withdraws the transporter's open offer. Trucks that the transporter has won stay.
        """
        path, body = f"/relations/transporters/{transporter_id}", {"relation": relation}
        return cast(Relation, self.command("PUT", path, body, key=key, wait=wait).value())

    def remove_transporter_relation(
        self, transporter_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Relation:
        """Stop blocking or preferring a transporter. Repeating it succeeds."""
        path = f"/relations/transporters/{transporter_id}"
        return cast(Relation, self.command("DELETE", path, key=key, wait=wait).value())

    def block_customer(
        self, customer_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Relation:
        """Block a customer, as a transporter.

        An open offer of the customer's request is withdrawn; trucks that were won stay. 404 NOT_FOUND.
        """
        path, body = f"/relations/customers/{customer_id}", {"relation": "blocked"}
        return cast(Relation, self.command("PUT", path, body, key=key, wait=wait).value())

    def unblock_customer(
        self, customer_id: str, *, key: str | Key = FRESH_KEY, wait: float | None = None
    ) -> Relation:
        """Stop blocking a customer. Repeating it succeeds."""
        path = f"/relations/customers/{customer_id}"
        return cast(Relation, self.command("DELETE", path, key=key, wait=wait).value())

    def relations(self, limit: int | None = None) -> list[Relation]:
        """Return the relations that the user has set, newest first. Those that the other side has set are not returned."""
        return self.items("/relations", limit)

    def set_contract(
        self,
        customer_id: str,
        transporter_id: str,
        reason: str | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Relation:
        """Record a contract of a customer and a transporter, as an operator. `reason`: for the audit log.

        404 NOT_FOUND if there is no such customer, TRANSPORTER_NOT_FOUND if there is no such transporter.
        """
        path = f"/admin/customers/{customer_id}/transporters/{transporter_id}"
        body = {"relation": "contracted", **given(reason=reason)}
        return cast(Relation, self.command("PUT", path, body, key=key, wait=wait).value())

    def remove_contract(
        self,
        customer_id: str,
        transporter_id: str,
        reason: str | None = None,
        *,
        key: str | Key = FRESH_KEY,
        wait: float | None = None,
    ) -> Relation:
        """Delete the contract of a customer and a transporter, as an operator. Repeating it succeeds."""
        path = f"/admin/customers/{customer_id}/transporters/{transporter_id}"
        done = self.command("DELETE", path, params=given(reason=reason), key=key, wait=wait)
        return cast(Relation, done.value())
