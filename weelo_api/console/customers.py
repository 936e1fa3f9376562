"""The page of a customer: their relations to fleets, and the forms with which an operator records and deletes contracts."""

from __future__ import annotations

from uuid import UUID

from flask import Response, redirect, request

from weelo_api.console.levers import send
from weelo_api.console.routes import api, page
from weelo_api.views.common import primary_session, replica_session
from weelo_workers.contracts.admin import Intervention
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.relations import RemoveByOperator, SetByOperator
from weelo_workers.contracts.statuses import Role
from weelo_workers.queries import admin_transporters
from weelo_workers.queries.pages import PageRequest
from weelo_workers.queries.people import find_customers, people
from weelo_workers.queries.relations import relations_of

RELATIONS_SHOWN = 100


@api.get("/customers")
def find_customer() -> Response:
    """Redirect to the customer that matches `?q=`: an id, the beginning of an id, or a telephone number."""
    with replica_session() as session:
        found = find_customers(session, request.args.get("q", "").strip()[:100])
    if len(found) != 1:
        raise Rejected(Code.NOT_FOUND, f"{'Several' if found else 'No'} customers match. Give the id.")
    return redirect(f"/console/customers/{found[0]}", 303)  # type: ignore[return-value]


@api.get("/customers/<uuid:customer_id>")
def customer(customer_id: UUID) -> str:
    """One customer: the fleets that they block or prefer, that block them, or with which they have a contract."""
    with primary_session() as session:
        relations = relations_of(session, customer_id, Role.CUSTOMER, RELATIONS_SHOWN)
        names = people(session, [customer_id, *(each.transporter_id for each in relations)])
    if customer_id not in names:
        raise Rejected(Code.NOT_FOUND)
    return page(
        "customer.html",
        customer_id=customer_id,
        person=names[customer_id],
        relations=relations,
        contracts=[each for each in relations if each.contracted_at],
        names=names,
    )


@api.post("/customers/<uuid:customer_id>/contracts")
def record_contract(customer_id: UUID) -> Response | str:
    """Send the command that records a contract of the customer with the fleet in the form."""

    def make() -> Command:
        return SetByOperator(
            customer_id=customer_id,
            transporter_id=_fleet(request.form.get("fleet", "").strip()[:100]),
            relation="contracted",
            reason=_reason(),
        )

    return send("Record contract", "contract", str(customer_id), make, f"/console/customers/{customer_id}")


@api.post("/customers/<uuid:customer_id>/contracts/<uuid:fleet_id>/delete")
def delete_contract(customer_id: UUID, fleet_id: UUID) -> Response | str:
    """Send the command that deletes a contract."""

    def make() -> Command:
        return RemoveByOperator(customer_id=customer_id, transporter_id=fleet_id, reason=_reason())

    subject = f"{customer_id} {fleet_id}"
    return send("Delete contract", "delete", subject, make, f"/console/customers/{customer_id}")


def _reason() -> str:
    return Intervention(reason=request.form.get("reason", "").strip()).reason


def _fleet(text: str) -> UUID:
    """Return the only fleet that matches this text. Raises Rejected(VALIDATION_ERROR)."""
    with replica_session() as session:
        found = (
            admin_transporters.transporters(session, text, None, PageRequest(2, None)).items if text else []
        )
    if len(found) != 1:
        message = "several fleets match; give the id" if found else "no fleet matches"
        errors = {"errors": [{"field": "fleet", "message": message}]}
        raise Rejected(Code.VALIDATION_ERROR, f"fleet: {message}", errors)
    return UUID(found[0]["id"])
