"""The contract of relations: blocks by either side, preferences of customers, and contracts of the two sides."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from weelo_workers.contracts.admin import Reason
from weelo_workers.contracts.command import Audit, Command
from weelo_workers.contracts.json_schema import DescribedEnum
from weelo_workers.contracts.queues import OFFERS
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.wire import CustomerId, Request, Timestamp, TransporterId, Wire


class RelationKind(DescribedEnum):
    """How one side has marked the other."""

    BLOCKED = "blocked", "No offer is made to the pair, and the transporter cannot take trucks."
    PREFERRED = (
        "preferred",
        "The customer's offers reach this transporter first, among those who are equally near.",
    )
    CONTRACTED = "contracted", "The two have a contract. An operator records it."


# --- requests -------------------------------------------------------------------------------------------


class CustomersRelation(Request):
    """How the customer marks a transporter."""

    relation: Literal["blocked", "preferred"]
    """It replaces the customer's earlier mark of this transporter."""


class TransportersRelation(Request):
    """How the transporter marks a customer."""

    relation: Literal["blocked"]
    """Always `blocked`."""


class Contract(Request):
    """A contract of a customer and a transporter."""

    relation: Literal["contracted"]
    """Always `contracted`."""
    reason: Reason | None = None


# --- commands -------------------------------------------------------------------------------------------


class SetByCustomer(
    Command, name="relations.set_by_customer", queue=OFFERS, rejects=(Code.TRANSPORTER_NOT_FOUND,)
):
    """Block or prefer a transporter."""

    customer_id: UUID
    transporter_id: UUID
    relation: Literal["blocked", "preferred"]


class RemoveByCustomer(
    Command, name="relations.remove_by_customer", queue=OFFERS, rejects=(Code.TRANSPORTER_NOT_FOUND,)
):
    """Stop blocking or preferring a transporter."""

    customer_id: UUID
    transporter_id: UUID


class SetByTransporter(Command, name="relations.set_by_transporter", queue=OFFERS, rejects=(Code.NOT_FOUND,)):
    """Block a customer."""

    transporter_id: UUID
    customer_id: UUID
    relation: Literal["blocked"]


class RemoveByTransporter(
    Command, name="relations.remove_by_transporter", queue=OFFERS, rejects=(Code.NOT_FOUND,)
):
    """Stop blocking a customer."""

    transporter_id: UUID
    customer_id: UUID


class SetByOperator(
    Command,
    name="relations.set_by_operator",
    queue=OFFERS,
    rejects=(Code.NOT_FOUND, Code.TRANSPORTER_NOT_FOUND),
    audit=Audit("transporter", "transporter_id"),
):
    """Record a contract of a customer and a transporter."""

    customer_id: UUID
    transporter_id: UUID
    relation: Literal["contracted"]
    reason: str


class RemoveByOperator(
    Command,
    name="relations.remove_by_operator",
    queue=OFFERS,
    rejects=(Code.NOT_FOUND, Code.TRANSPORTER_NOT_FOUND),
    audit=Audit("transporter", "transporter_id"),
):
    """Delete the contract of a customer and a transporter."""

    customer_id: UUID
    transporter_id: UUID
    reason: str


class WithdrawOffer(Command, name="relations.withdraw_offer", queue=OFFERS):
    """Withdraw an offer of a pair that was blocked while another transaction made the offer."""

    broadcast_id: UUID
    transporter_id: UUID


BLOCKS = frozenset({SetByCustomer.name, SetByTransporter.name, WithdrawOffer.name})
"""The names of the commands that can withdraw an offer and release a hold."""

SECRET = BLOCKS | {RemoveByCustomer.name, RemoveByTransporter.name}
"""The names of the commands of which the other side of the pair learns nothing."""


# --- views ----------------------------------------------------------------------------------------------


class RelationView(Wire):
    """The relation of a customer and a transporter, as far as the reader has set it."""

    customer_id: CustomerId
    transporter_id: TransporterId
    relation: RelationKind | None
    """What the reader has set; null after it was removed."""
    since: Timestamp | None
    """When it was set; null after it was removed."""
